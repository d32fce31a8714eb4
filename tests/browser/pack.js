/**
 * Joins a browser module with what it imports, and makes it short: `node pack.js <folder> <module>` prints it.
 * The elements so become one file each that holds the SDK; a module of its own would be another request.
 */

import { build } from "esbuild";
import { minify } from "terser";

/**
 * Properties of the modules' own objects, which get short names. None of them is a word of the protocol, of what other
 * tabs or storage get (another release may read it), of a browser's API, or of what the modules promise to a page.
 */
const OWN = [
  ["ask", "changed", "crowded", "identify", "later", "leave", "lost", "opened", "overheard", "refuse", "renew"],
  ["report", "resume", "sync", "take", "watch"],
  ["mineV", "news", "settle", "shown", "told", "users", "wish", "wishes"],
  ["bus", "knowing", "load", "talk", "who"],
  ["compact", "full", "room", "root", "show"],
].flat();

const [folder = "", name = ""] = process.argv.slice(2);

/** What the page gets of a module: all but what is for the tests alone. */
const PROMISED = name === "tallycast.js" ? "{ connect }" : "*";

const joined = await build({
  stdin: { contents: `export ${PROMISED} from "./${name}";`, resolveDir: folder },
  bundle: true,
  minifySyntax: true,
  mangleProps: new RegExp(`^(${OWN.join("|")})$`),
  format: "esm",
  target: "es2022",
  charset: "utf8",
  write: false,
});
const [{ text }] = joined.outputFiles;
// Each word that is not there is a byte or two: what never changes by what is written may be declared as what does.
const { code = "" } = await minify(text.replace(/\bconst\b/g, "let"), {
  module: true,
  ecma: 2022,
  compress: { passes: 3, reduce_funcs: false, unsafe_arrows: true },
  format: { comments: false },
});
process.stdout.write(code.replaceAll(/\\n */g, "")); // the style sheet's lines
