/** Who the visitor is to the hub: an anonymous identity that is asked for only when somebody first reacts. */

/** The hub said no. `message` is its reason in one sentence. */
export class Refusal extends Error {}

export class Visitor {
  #url;
  #key;
  /** @type {{token: string, expires_ms: number} | null} what stands where nothing can be kept */
  #held = null;
  /** @type {Promise<void> | null} */
  #asking = null;

  /** @param {URL} base the hub's address, ending in a slash */
  constructor(base) {
    this.#url = new URL("v1/visitors", base);
    this.#key = `tallycast.visitor:${base.pathname}`;
  }

  /** The token, also one that another tab got since; null where there is none or it has expired. */
  get token() {
    const identity = this.#kept() ?? this.#held;
    return identity && identity.expires_ms > Date.now() ? identity.token : null;
  }

  /**
   * Get an identity. Calls that overlap share one request.
   * Rejects with Refusal where the hub says no, with another error where it cannot be reached.
   */
  ask() {
    this.#asking ??= this.#ask().finally(() => (this.#asking = null));
    return this.#asking;
  }

  /** The hub does not take this token (any more). @param {string} token */
  forget(token) {
    if (this.#held?.token === token) this.#held = null;
    if (this.#kept()?.token !== token) return; // another tab has renewed it already
    try {
      localStorage.removeItem(this.#key);
    } catch {
      // Storage can go away while the page is open; then nothing is kept either.
    }
  }

  async #ask() {
    const answer = await fetch(this.#url, { method: "POST", credentials: "omit" });
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Refusal(body.detail ?? `the hub answered ${answer.status}`);
    if (this.token) return; // another tab was faster: one person, one identity
    this.#held = { token: body.token, expires_ms: Date.now() + body.expires_in * 1000 };
    try {
      localStorage.setItem(this.#key, JSON.stringify(this.#held));
    } catch {
      // Blocked or full (private windows): the identity lasts as long as the page.
    }
  }

  /** @returns {{token: string, expires_ms: number} | null} */
  #kept() {
    try {
      const { token, expires_ms } = JSON.parse(localStorage.getItem(this.#key) ?? "{}");
      return typeof token === "string" && typeof expires_ms === "number" ? { token, expires_ms } : null;
    } catch {
      return null; // storage is blocked, or what lies there is not ours
    }
  }
}
