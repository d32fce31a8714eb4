/**
 * Joins the dashboard's modules, and its style sheets, and makes them short: `node pack_dashboard.js <folder> <style
 * sheet>…` prints `{"js", "css"}`. The SDK and uPlot stay files of their own.
 */

import { build } from "esbuild";

const [folder = "", ...styles] = process.argv.slice(2);

/** @param {import("esbuild").BuildOptions} options */
const joined = async (options) => {
  const { outputFiles } = await build({
    absWorkingDir: folder,
    bundle: true,
    minify: true,
    target: "esnext",
    charset: "utf8",
    legalComments: "none",
    write: false,
    ...options,
  });
  return outputFiles?.[0]?.text;
};

const js = await joined({
  entryPoints: ["./app.js"],
  format: "esm",
  external: ["../client/tallycast.js", "./uplot.js"],
});
const contents = styles.map((name) => `@import "./${name}";`).join("\n");
const css = await joined({ stdin: { contents, loader: "css", resolveDir: folder } });
process.stdout.write(JSON.stringify({ js, css }));
