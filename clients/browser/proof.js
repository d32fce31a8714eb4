/**
 * A proof of work for a hub that asks new visitors for one while a burst lasts (docs/bursts.md), in ALTCHA's format.
 * A page that loads this module beside the widget or the SDK needs nothing else: `<script type="module" src="…/proof.js">`.
 */

/** @typedef {{algorithm: string, challenge: string, maxnumber: number, salt: string, signature: string}} Challenge */

const AT_ONCE = 500; // hashes that are under way together: each is made on a thread of the browser's own

/** @param {Challenge} challenge @param {number} number */
async function hash({ salt }, number) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(salt + number));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * What to send as `proof`. It takes a second or two, and leaves the page room for everything else.
 * @param {Challenge} challenge @returns {Promise<string>}
 * @throws {Error} where no number solves it, or the page is not secure and so has no hashes
 */
export async function solve(challenge) {
  for (let first = 0; first <= challenge.maxnumber; first += AT_ONCE) {
    const length = Math.min(AT_ONCE, challenge.maxnumber + 1 - first);
    const hashes = await Promise.all(Array.from({ length }, (_, at) => hash(challenge, first + at)));
    const at = hashes.indexOf(challenge.challenge);
    const { maxnumber: _, ...proof } = challenge;
    if (at >= 0) return btoa(JSON.stringify({ ...proof, number: first + at }));
  }
  throw new Error("the challenge has no solution");
}

/** What the SDK asks the hub of this file for, when somebody new reacts. */
const VISITORS = import.meta.url.split("/client/")[0] + "/v1/visitors";
const plain = globalThis.fetch;

/** As before; only where the hub asks somebody new for a proof, it is found and the same request sent with it. */
globalThis.fetch = async (input, init) => {
  const answer = await plain(input, init);
  if (answer.status !== 403 || answer.url !== VISITORS) return answer;
  const problem = await answer.clone().json().catch(() => null);
  if (problem?.code !== "proof_needed") return answer;
  return plain(input, { ...init, body: JSON.stringify({ proof: await solve(problem.challenge) }) });
};
