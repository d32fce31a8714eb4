/** What the page asks of its hub over HTTP. */

/** Where the hub is. */
export const BASE = new URL("..", import.meta.url);

/** Sent to `window` when the session has ended: its `detail` says why. */
export const SIGNED_OUT = "dashboard:signed-out";

/** The hub's no, or the network's. */
export class Problem extends Error {
  /** @param {string} code @param {string} message @param {number} [retry_after_s] */
  constructor(code, message, retry_after_s) {
    super(message);
    this.code = code;
    this.retry_after_s = retry_after_s;
  }
}

/**
 * @typedef {object} Asked
 * @property {string} [method]
 * @property {unknown} [body] sent as JSON
 * @property {Record<string, string>} [headers]
 * @property {Record<string, string | number | undefined>} [query]
 * @property {AbortSignal} [signal]
 * @property {boolean} [quiet] do not tell the page that nobody is signed in
 */

/** The address of a path of the hub's. @param {string} path @param {Asked["query"]} [query] */
export function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
  return url;
}

/** @param {string} path @param {Asked} [asked] @returns {Promise<Response>} */
async function ask(path, { method = "GET", body, headers, query, signal, quiet } = {}) {
  /** @type {Response} */ let answer;
  try {
    answer = await fetch(address(path, query), {
      method,
      signal: signal ?? null,
      cache: "no-store",
      ...(headers && { headers }),
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { ...headers, "Content-Type": "application/json" },
      }),
    });
  } catch (fault) {
    if (signal?.aborted) throw fault;
    throw new Problem("unreachable", "The hub cannot be reached.");
  }
  if (answer.ok) return answer;
  const {
    code = "internal",
    detail = `The hub answered ${answer.status}.`,
    retry_after,
  } = await answer.json().catch(() => ({}));
  signal?.throwIfAborted(); // nobody waits for it any more
  if (answer.status === 401 && !quiet) dispatchEvent(new CustomEvent(SIGNED_OUT, { detail: sentence(detail) }));
  throw new Problem(code, sentence(detail), retry_after);
}

/** What the hub answers, from JSON; null where it has nothing to say. @param {string} path @param {Asked} [asked] @returns {Promise<any>} */
export async function api(path, asked) {
  const answer = await ask(path, asked);
  return answer.status === 204 ? null : answer.json();
}

/** What the hub answers, as a file. @param {string} path @param {Asked} [asked] */
export const download = async (path, asked) => (await ask(path, asked)).blob();

/** The path of something of an item's. @param {string} item @param {string} what */
export const ofItem = (item, what) => `v1/admin/items/${encodeURIComponent(item)}/${what}`;

/** @param {string} text */
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
