/**
 * Tallycast in the browser: live counts of reactions, and a click that tells the truth.
 * One connection a browser where Web Locks and BroadcastChannel are there, else one a page. Protocol: docs/protocol.md.
 */

/** @typedef {{rule: string, group?: string, max?: number, label: string, emoji: string}} Kind See docs/protocol.md. */
/** @typedef {Record<string, number>} Numbers By kind; a kind that is absent is 0. */
/**
 * @typedef {object} State What is shown of an item: what stands, and on top of it what the person has just said.
 * @property {string} item
 * @property {number} v its version at the hub
 * @property {Numbers} counts
 * @property {Numbers} mine what the person says of it
 * @property {boolean} known the hub has told of the item
 * @property {boolean} pending something of the person's own is not acknowledged yet
 * @property {number | undefined} [viewers] how many watch it, where that was asked for
 */
/** @typedef {{ok: true, state: State} | {ok: false, code: string, message: string}} Result */
/** @typedef {"connecting" | "live" | "waiting" | "offline" | "closed"} Status */
/** @typedef {string | (() => string | Promise<string>)} Token */
/** @typedef {{code: string, message: string, item?: string | undefined}} Fault */
/**
 * @typedef {object} Hub
 * @property {string} url
 * @property {Status} status
 * @property {Promise<Record<string, Kind>>} kinds in the hub's order; {} when they cannot be had now: ask again later
 * @property {(item: string, callback: (state: State) => void, options?: {viewers?: boolean}) => () => void} subscribe
 *   at most one call a frame; the function that it gives ends it
 * @property {(item: string, kind: string, value?: number | boolean) => Promise<Result>} react never rejects. `value`:
 *   of a toggle 1 or 0 (unless given, the other of what is shown), of an amount the new total (one more), else none
 * @property {{(type: "status", listener: (status: Status) => void): () => void,
 *   (type: "error", listener: (fault: Fault) => void): () => void}} on
 * @property {() => void} close
 */

/** @typedef {{item: string, v: number, counts: Numbers, mine?: Numbers, viewers?: number}} Row Of a hub's message. */
/** @typedef {{v: number, counts: Numbers, mineV: number, mine: Numbers, viewers?: number | undefined}} Known */
/**
 * @typedef {object} Wish A reaction without an answer. Of an item only the first wish is ever under way.
 * @property {string} item
 * @property {string} kind
 * @property {number | undefined} [value] what the person now says; absent for events
 * @property {number | undefined} [seq]
 * @property {string | undefined} [id] of an event
 * @property {number} ref 0: never sent; else that of the message that carries it; -1: nobody knows what became of it
 * @property {((result: Result) => void)[]} settle
 */
/**
 * @typedef {object} Item
 * @property {Known} news the newest that the hub said
 * @property {Known} shown what the wishes are shown on top of. While one is under way nobody knows whether the news
 *   have it counted already: they are kept until its answer is there
 * @property {Wish[]} wishes
 * @property {[number, number]} users who watch it on the page: without, with how many watch
 * @property {number} told what the hub knows of that: 0 nothing, 1 somebody watches, 2 and wants to know how many do
 */
/** @typedef {Record<string, any> & {ev?: string, ref?: number}} Message */
/** @typedef {{op?: string, items?: string[], wish?: Wish}} About What a question to the hub is about. */
/** @typedef {Pick<Wish, "item" | "kind" | "value" | "seq" | "id">} Kept A wish that outlives its page. */
/**
 * @typedef {object} Host What a session needs of the world.
 * @property {(message: object) => void} send
 * @property {(item: string, now?: boolean) => void} changed `now`: it is the person's own click
 * @property {(act: () => void, seconds: number) => void} later
 * @property {() => void} identify something waits for an identity
 * @property {(fault: Fault) => void} renew the identity was refused
 * @property {() => unknown} crowded too many items for one connection; true: it begins again with another
 * @property {(fault: Fault) => Result} report
 */

/** This module among those on the page that hold an SDK: each keeps its own unanswered clicks. */
const COPY = import.meta.url;

/**
 * Seconds before reconnection `attempt` (0 is the first): full jitter, so that a restarted hub does not get everybody
 * back at once.
 * @param {number} attempt
 */
const delay = (attempt) => Math.random() * Math.min(20, 0.5 * 2 ** attempt);

/**
 * A conversation with the hub over whatever connections it takes. No I/O, and no clock but for `seq`.
 * @param {Host} host
 */
function session({ send, changed, later, identify, renew, crowded, report }) {
  /** @type {Record<string, Kind>} */ const kinds = {};
  /** @type {Map<string, Item>} */ const items = new Map();
  /** @type {Map<unknown, About>} */ const asked = new Map();
  /** @type {string | null} who we are on this connection */ let actor = null;
  /** @type {string | null} whose values the items hold */ let owner = null;
  let open = false;
  let authenticating = 0;
  let seq = 0;
  let ref = (Math.random() * 2 ** 32) >>> 0; // tabs hear each other's answers

  /** @param {string} name @returns {Item} */
  const get = (name) => {
    let item = items.get(name);
    if (!item) {
      const news = { v: -1, counts: {}, mineV: -1, mine: {} };
      items.set(name, (item = { news, shown: news, wishes: [], users: [0, 0], told: 0 }));
    }
    return item;
  };

  const wishes = () => [...items.values()].flatMap((item) => item.wishes);

  /** @param {string} a @param {string} b */
  const grouped = (a, b) => kinds[a]?.group && kinds[a].group === kinds[b]?.group;

  /**
   * What to show of an item: what stands, and on it every wish as its rule will count it.
   * @param {string} name
   * @returns {State}
   */
  const state = (name) => {
    const { shown, wishes } = get(name);
    const counts = { ...shown.counts };
    const mine = { ...shown.mine };
    /** @param {string} kind @param {number} value */
    const say = (kind, value) => {
      counts[kind] = Math.max(0, (counts[kind] ?? 0) + value - (mine[kind] ?? 0));
      mine[kind] = value;
    };
    for (const { kind, value } of wishes) {
      if (value) for (const other in kinds) if (grouped(kind, other)) say(other, 0);
      if (value === undefined) counts[kind] = (counts[kind] ?? 0) + 1;
      else say(kind, value);
    }
    const { v, viewers } = shown;
    return { item: name, v, counts, mine, known: v >= 0, pending: wishes.length > 0, viewers };
  };

  /** Take what the hub says: counts and own values each keep their newest version. @param {Row} row */
  const learn = ({ item: name, v, counts, mine, viewers }) => {
    const item = items.get(name);
    if (!item || !(v >= 0)) return;
    const { news, wishes } = item;
    item.news = {
      ...news,
      ...(v >= news.v && { v, counts, ...(viewers && { viewers }) }),
      ...(mine && v >= news.mineV && { mineV: v, mine }),
    };
    if (!wishes[0]?.ref) item.shown = item.news;
    changed(name);
  };

  /**
   * A wish has its answer.
   * @param {Wish} wish
   * @param {Fault} [fault] why it is taken back
   * @param {Row} [row] what stands
   */
  const settle = (wish, fault, row) => {
    const item = get(wish.item);
    item.wishes = item.wishes.filter((other) => other !== wish);
    if (row) learn(row);
    if (!item.wishes[0]?.ref) item.shown = item.news;
    changed(wish.item);
    wish.settle.forEach((done) => done(fault ? { ok: false, ...fault } : { ok: true, state: state(wish.item) }));
  };

  /** @param {Fault} fault */
  const refuse = (fault) => {
    const all = wishes();
    for (const wish of all) settle(wish, fault);
    if (all[0]) report(fault);
  };

  /** @param {object} message @param {About} about */
  const ask = (message, about = message) => {
    asked.set(++ref, about);
    send({ ...message, ref });
    return ref;
  };

  /** @param {string[]} names @param {number} told */
  const tell = (names, told) => {
    for (const part of chunks(names)) {
      ask({ op: told ? "subscribe" : "unsubscribe", items: part, ...(told > 1 && { viewers: true }) });
    }
  };

  /** Tell the hub what the page watches now, and send what waits, of each item one wish at a time. */
  const sync = () => {
    if (!open) return;
    /** @type {[string[], string[], string[]]} by what is to be told */ const lists = [[], [], []];
    for (const [name, item] of items) {
      const [plain, curious] = item.users;
      const [wish] = item.wishes;
      const watch = curious ? 2 : plain ? 1 : 0;
      if (watch !== item.told) lists[(item.told = watch)].push(name);
      if (!watch && !wish) items.delete(name);
      if (!wish || wish.ref > 0) continue;
      const { ref: _, settle: __, ...said } = wish;
      // A `unique` kind counts people without identity, too: for that nobody needs a visitor's name.
      if (actor || (!authenticating && /q/.test(kinds[said.kind]?.rule ?? ""))) {
        wish.ref = ask({ op: "react", ...said }, { wish });
      } else if (!authenticating) identify();
    }
    lists.forEach(tell);
  };

  /** @param {About} about @param {Fault & {retry_after?: number}} fault */
  const refused = (about, { code, message, retry_after }) => {
    const { wish, items: names } = about;
    const fault = { code, message };
    const full = code === "too_many_items";
    if (full && crowded()) return;
    if (/token|unauth/.test(code)) {
      if (wish) wish.ref = -1;
      actor = null;
      renew(fault);
    } else if (retry_after || full || code === "unavailable") {
      if (full) report(fault);
      later(
        () => {
          if (wish) wish.ref = -1;
          for (const name of names ?? []) get(name).told = 0;
          sync();
        },
        (retry_after ?? (full ? 30 : 1)) + Math.random(), // who errs often is cut off
      );
    } else if (wish) {
      settle(wish, fault);
      report({ ...fault, item: wish.item });
    } else {
      // One item can spoil the message for all: ask for the halves.
      const half = names && names.length >> 1;
      if (half) for (const part of [names.slice(0, half), names.slice(half)]) ask({ ...about, items: part });
      else report({ code, message: `${names ?? ""} ${message}`, item: names?.[0] });
    }
  };

  return {
    kinds,
    state,
    wishes,
    ask,
    sync,
    refuse,

    /**
     * Go on with what an earlier page had no answer for: it is said again as it was, and nothing shown until then, for
     * what the hub says may have it counted already.
     * @param {Kept[]} kept
     */
    resume(kept) {
      for (const { item, kind, value, seq: said, id } of kept) {
        get(item).wishes.push({ item, kind, value, seq: said, id, ref: -1, settle: [] });
        seq = Math.max(seq, said ?? 0);
      }
    },

    /** @param {string} name @param {boolean} viewers @param {1 | -1} by */
    watch(name, viewers, by) {
      get(name).users[viewers ? 1 : 0] += by;
      queueMicrotask(sync);
    },

    /** @param {string} name @param {string} kind @param {number | boolean} [value] @returns {Promise<Result>} */
    async react(name, kind, value) {
      const { rule, max = 1 } = kinds[kind] ?? {};
      const item = get(name);
      const event = rule === "event";
      const now = state(name).mine[kind] ?? 0;
      const total = Number(value ?? (rule === "toggle" ? !now : now + 1));
      if (!rule) {
        return report({ code: "unknown_kind", message: `no kind "${kind}" in ${Object.keys(kinds)}`, item: name });
      }
      if (!event && !(total >= 0 && total <= max && total % 1 === 0)) {
        return report({ code: "bad_value", message: `${kind} takes 0 to ${max}`, item: name });
      }
      seq = Math.max(seq, Date.now() * 1000, item.news.v) + 1;
      return new Promise((done) => {
        /** @type {Wish} */
        const wish = {
          item: name,
          kind,
          ...(event ? { id: uniqueId() } : { value: total, seq }),
          ref: 0,
          settle: [done],
        };
        // It takes the place of those that it makes void, for values are totals. But 0 says nothing of the others in a
        // group: what an earlier 1 did to them has still to be said.
        item.wishes = item.wishes.filter((other) => {
          const same = other.kind === kind && (!kinds[kind]?.group || !other.value);
          if (event || other.ref || !((total && grouped(kind, other.kind)) || same)) return true;
          wish.settle.push(...other.settle);
          return false;
        });
        item.wishes.push(wish);
        changed(name, true);
        sync();
      });
    },

    /**
     * A connection is there, or may have missed something: say who we are, and ask for all items.
     * @param {string | null} token
     */
    opened(token) {
      open = true;
      for (const item of items.values()) item.told = 0;
      if (token) authenticating = ask({ op: "auth", token });
      sync();
    },

    /** The connection is gone, and nobody knows what it still delivered. */
    lost() {
      open = false;
      actor = null;
      authenticating = 0;
      asked.clear();
      for (const wish of wishes()) if (wish.ref) wish.ref = -1;
    },

    /** Watch nothing any more, on a connection that others go on with. */
    leave() {
      tell([...items.keys()], 0);
    },

    /** Another tab told the hub, over the same connection, what it watches. @param {Message} message */
    overheard({ op, items: names, viewers }) {
      for (const name of names) {
        const item = items.get(name);
        if (item) item.told = Math.min(item.told, op === "subscribe" ? (viewers ? 2 : 1) : 0);
      }
      sync();
    },

    /** @param {Message} message what the hub says, also to another tab */
    take(message) {
      const { ev } = message;
      const about = asked.get(message.ref);
      asked.delete(message.ref);
      if (message.ref === authenticating) authenticating = 0;
      if (ev === "auth") {
        actor = message.actor;
        if (owner !== actor) {
          for (const [name, item] of items) {
            for (const known of [item.news, item.shown]) Object.assign(known, { mineV: -1, mine: {} });
            if (!about) item.told = 0; // another tab knew who we are
            changed(name);
          }
          owner = actor;
        }
      } else if (ev === "snapshot") message.items.forEach(learn);
      else if (about?.wish && ev === "ack") settle(about.wish, undefined, /** @type {any} */ (message));
      else if (ev === "counts" || ev === "ack") learn(/** @type {any} */ (message));
      else if (about && ev === "error") refused(about, /** @type {any} */ (message));
      sync();
    },
  };
}

/**
 * Where no WebSocket gets through: event streams and requests that look like one.
 * @param {string} base @returns {Line}
 */
function events(base) {
  /** @type {Set<string>} */ const watched = new Set();
  let curious = false;
  /** @type {EventSource[]} */ let streams = [];
  /** @type {Record<string, string>} */ let headers = {};
  let timer = 0;

  /** @param {string[]} items */
  const query = (items) => items.map((item) => "&item=" + encodeURIComponent(item)).join("");

  const watch = () => {
    for (const stream of streams) stream.close();
    streams = chunks([...watched]).map((items) => {
      const stream = new EventSource(`${base}events?viewers=${curious}${query(items)}`);
      for (const type of ["counts", "bye"]) stream.addEventListener(type, (event) => line.onmessage?.(event));
      stream.onerror = () => line.onclose?.({});
      return stream;
    });
  };

  /** @param {string} path @param {string} ev @param {RequestInit} [init] */
  const call = async (path, ev, init) => ({ ...(await fetchJson(base + path, init)), ev });

  /** @param {Message} message @returns {Promise<object>} */
  const answer = async ({ op, ref, items, viewers, ...said }) => {
    if (op === "auth") {
      headers = { Authorization: "Bearer " + said.token };
      return { ev: "auth", actor: claims(said.token).sub };
    }
    if (op === "react") return call("reactions", "ack", { method: "POST", headers, body: JSON.stringify(said) });
    if (!items) return call("config", "pong");
    const wanted = op === "subscribe";
    curious ||= !!viewers;
    for (const item of items) wanted ? watched.add(item) : watched.delete(item);
    clearTimeout(timer);
    timer = setTimeout(watch, 20);
    return wanted ? call("counts?" + query(items), "snapshot", { headers }) : {};
  };

  /** @type {Line} */
  const line = {
    send(text) {
      const message = JSON.parse(text);
      answer(message)
        .catch((fault) => (fault.code ? { ...fault, ev: "error" } : line.onclose?.({})))
        .then((said) => said && line.onmessage?.({ data: JSON.stringify({ ...said, ref: message.ref }) }));
    },
    close() {
      watched.clear();
      watch();
      clearTimeout(timer);
    },
  };
  setTimeout(() => line.onopen?.());
  return line;
}

/**
 * @typedef {object} Line A WebSocket, or what looks like one.
 * @property {(text: string) => void} send
 * @property {() => void} close
 * @property {(() => void) | null} [onopen]
 * @property {((event: {data: string}) => void) | null} [onmessage]
 * @property {((event: {code?: number}) => void) | null} [onclose]
 */

/**
 * What all callers of a page share who connect to one hub as the same person: the link to the hub, or to the tab that
 * has one.
 * @param {string} base the hub's address, ending in a slash
 * @param {Token | undefined} token
 * @param {boolean} visitor
 */
function connection(base, token, visitor) {
  const tick_ms = 5000;
  const day_ms = 86_400_000; // a hub remembers events that long
  const answer_ms = 4000; // a sleeper's dead link is found within a tick and this
  const quiet_ms = 15_000; // after as long without a word (or asleep) the hub is asked whether it is there
  const bus = new EventTarget();
  const store = "tallycast.visitor:" + base;
  /** @type {Set<string>} items of which the next frame tells */ const stale = new Set();
  /** @type {Status} */ let status = "connecting";
  /** @type {AbortController | undefined} from start to stop */ let run;
  /** @type {BroadcastChannel | null} to the other tabs */ let channel = null;
  /** @type {Line | undefined} */ let line;
  let leads = false; // this tab has the line; else another one has
  let alone = false;
  let greeted = false;
  let opened = false;
  let blocked = 0; // sockets in a row that did not open although HTTP works
  let attempt = 0;
  let renewals = 0;
  let wait = 0;
  let due = 0;
  let heard = 0;
  let ticking = 0;
  let retry = 0;
  let alarm = 0;
  let name = "";
  /** @type {unknown} something is kept for the next page */ let keeps;
  /** @type {string | null} */ let used = null;
  /** @type {unknown} */ let identifying;
  /** @type {Promise<boolean | void> | undefined} */ let asking;
  let known = false;
  /** @type {() => void} */ let know;
  /** @type {Promise<void>} */ const knowing = new Promise((resolve) => (know = resolve));

  /** @param {object} word */
  const post = (word) => channel?.postMessage(word);

  /** @param {string} type @param {unknown} detail */
  const emit = (type, detail) => bus.dispatchEvent(new CustomEvent(type, { detail }));

  /** @param {Fault} fault @returns {Result} */
  const report = (fault) => {
    warn(`${base} ${fault.message} (${fault.code})`);
    emit("error", fault);
    return { ok: false, ...fault };
  };

  /** @param {Status} now */
  const become = (now) => {
    if (now === status) return;
    status = now;
    if (leads) post({ status });
    emit("status", status);
  };

  /** @param {string} item */
  const tell = (item) => {
    stale.delete(item);
    emit(":" + item, talk.state(item));
  };

  /** @param {string} item @param {boolean} [now] in this very frame */
  const changed = (item, now) => {
    if (now) return tell(item);
    if (!stale.size) {
      (document.hidden ? setTimeout : requestAnimationFrame)(() => {
        const all = [...stale];
        stale.clear();
        all.forEach(tell);
      });
    }
    stale.add(item);
  };

  /** @param {() => void} act @param {number} seconds */
  const later = (act, seconds) => setTimeout(act, seconds * 1000);

  /** Ask for the kinds, which is also to ask whether HTTP reaches the hub. If not, the console says why. */
  const load = () =>
    (asking ??= fetchJson(base + "config")
      .then(
        ({ kinds }) => {
          Object.assign(talk.kinds, kinds);
          known = true;
          know();
          return true;
        },
        async (fault) => {
          // What a page may not read it may still ask for: then it is not the network.
          if (!fault.code && (await fetch(base, { mode: "no-cors" }).catch(() => null))) {
            fault = { code: "forbidden", message: `${location.origin} is not in its TALLYCAST_ORIGINS` };
          }
          if (run)
            report(fault.code ? fault : { code: "unreachable", message: "does not answer: is the address right?" });
        },
      )
      .finally(() => (asking = undefined)));

  /** The token to use now; null: none. @param {boolean} needed get one @returns {Promise<string | null>} */
  const who = async (needed) => {
    if (token) {
      if (!fresh(used)) used = typeof token === "string" ? token : await token();
      return used;
    }
    if (!visitor) return null;
    if (!kept() && needed) {
      const { token } = await fetchJson(base + "visitors", { method: "POST" });
      return kept() ?? kept(token); // another tab may have been faster: one person, one identity
    }
    return kept();
  };

  /** The visitor's token. @param {string} [token] the one to keep from now on */
  const kept = (token) => {
    used = token ?? used;
    try {
      if (token != null) localStorage.setItem(store, token);
      used = localStorage.getItem(store);
    } catch {
      // Blocked or full (private windows): it lasts as long as the page.
    }
    return fresh(used);
  };

  const identify = () => {
    identifying ??= who(true)
      .then(
        (token) => (token ? greeted && greet() : talk.refuse(NEEDS_TOKEN)),
        (fault) => {
          if (fault?.code && !fault.retry_after) return talk.refuse(fault);
          report({ code: "no_identity", message: fault?.message });
          later(talk.sync, (fault?.retry_after ?? 1) + delay(3));
        },
      )
      .finally(() => (identifying = null));
  };

  const talk = session({
    send(message) {
      const text = JSON.stringify(message);
      if (leads) line?.send(text);
      if (!leads || "items" in message) post({ up: text });
    },
    changed,
    later,
    identify,
    renew(fault) {
      if (!token) kept("");
      used = null;
      if (typeof token === "string" || renewals++ > 2) {
        talk.refuse(fault);
        report(fault);
      } else if (token) identify();
    },
    crowded() {
      if (!channel) return false;
      stop(); // all tabs together watch too much for one connection
      alone = true;
      start();
      return true;
    },
    report,
  });

  /** Begin: as one of the tabs that share a line, or alone where the browser has not what that takes. */
  const start = async () => {
    const { signal } = (run = new AbortController());
    ticking = setInterval(tick, tick_ms);
    const { sub, items } = claims(await who(false).catch(() => null));
    if (signal.aborted) return;
    const first = !name;
    name = `tallycast ${base} ${token ? JSON.stringify([sub, items]) : visitor}`;
    if (first) {
      try {
        const [at, wishes] = JSON.parse(sessionStorage.getItem(name + COPY) ?? "");
        if (Date.now() - at < day_ms) talk.resume((keeps = wishes));
      } catch {
        // There is nothing.
      }
    }
    leads = alone || !navigator.locks || !!(token && !sub);
    try {
      if (!leads) {
        channel = new BroadcastChannel(name);
        channel.onmessage = ({ data }) => hear(data);
        queue({ signal });
      }
    } catch {
      leads = true; // channels are not for this page
    }
    dial();
  };

  /** What has no answer yet is kept for when the page is loaded again, by the same person and in the same tab. */
  const keep = () => {
    const wishes = talk.wishes().slice(-50);
    try {
      if (wishes[0] || keeps) sessionStorage.setItem(name + COPY, JSON.stringify([Date.now(), wishes]));
      keeps = wishes[0];
    } catch {
      // Blocked or full: it is not kept.
    }
  };

  /** Wait until the lock is free, or take it: who has it has the line. @param {LockOptions} how */
  const queue = (how) => {
    const mine = run;
    navigator.locks
      .request(name, how, () => {
        if (mine !== run) return;
        leads = true;
        dial();
        return new Promise((resolve) => mine?.signal.addEventListener("abort", resolve));
      })
      .catch(() => {
        if (!mine || mine !== run) return;
        alone ||= !leads; // locks are not for this page; else another tab took it, to which we seemed dead
        stop();
        start();
      });
  };

  const stop = () => {
    if (!leads) talk.leave();
    drop();
    run?.abort();
    run = undefined;
    leads = false;
    clearInterval(ticking);
    channel?.close();
    channel = null;
  };

  const drop = () => {
    clearTimeout(alarm);
    clearTimeout(retry);
    if (line) line.onopen = line.onmessage = line.onclose = null;
    line?.close();
    line = undefined;
    greeted = opened = false;
    talk.lost();
  };

  const dial = () => {
    drop();
    become("connecting");
    if (!leads) return knock();
    expect();
    try {
      line =
        blocked > 1
          ? events(base)
          : /** @type {Line} */ (new WebSocket(base.replace("http", "ws") + "live", "tallycast.v1"));
    } catch {
      return lose(); // a page of https, a hub of http
    }
    line.onopen = () => {
      blocked = blocked > 1 ? 1 : 0; // the next time a socket may do
      opened = true;
      greet();
    };
    line.onmessage = ({ data }) => {
      post({ down: data });
      take(data);
    };
    line.onclose = ({ code }) => lose(code);
  };

  /** Say who we are and what we watch: at first, and when something may have been missed. */
  const greet = async () => {
    const mine = line;
    greeted = true;
    const token = await who(false).catch(() => null);
    if (mine !== line || !greeted) return;
    talk.opened(token);
    probe();
  };

  const probe = () => {
    talk.ask({ op: "ping" });
    expect();
  };

  /** Without a sign of life the line is given up; a tab that leads and does not answer is not to lead any longer. */
  const expect = () => {
    clearTimeout(alarm);
    alarm = setTimeout(() => (leads ? lose() : queue({ steal: true })), answer_ms);
  };

  const alive = () => {
    clearTimeout(alarm);
    heard = Date.now();
  };

  /** @param {string} text */
  const take = (text) => {
    alive();
    try {
      /** @type {Message} */ const message = JSON.parse(text);
      if (message.ev === "bye") wait = message.retry_after;
      else if (message.ev !== "error") {
        attempt = 0;
        if (message.ev === "ack") renewals = 0;
        become("live");
        if (!known) load();
      }
      talk.take(message);
    } catch {
      // Not what a hub says. Its numbers stay as they are.
    }
  };

  /** What another tab says. @param {{up?: string, down?: string, hi?: number, status?: Status}} word */
  const hear = ({ up, down, hi, status: theirs }) => {
    if (up) {
      const message = JSON.parse(up);
      if (leads && opened) line?.send(up);
      if (message.items) talk.overheard(message);
    }
    if (leads) {
      if (!hi) return;
      if (Date.now() >= due) hurry(); // timers of hidden tabs are slow
      post({ status });
    } else if (down) {
      if (greeted) take(down);
    } else if (theirs === "live") {
      if (!greeted) greet();
    } else if (theirs) {
      drop();
      alive();
      become(theirs);
    }
  };

  /** @param {number} [code] */
  const lose = (code) => {
    if (!opened) load().then((ok) => (blocked = ok ? blocked + 1 : 0));
    drop();
    if (code === 4401 && typeof token !== "function") {
      if (!token) report(NEEDS_TOKEN); // else it has been told what is wrong with it
      return become("closed");
    }
    wait = Math.max(wait, delay(attempt++)) * 1000;
    due = Date.now() + wait;
    retry = setTimeout(dial, wait);
    wait = 0;
    become(navigator.onLine ? "waiting" : "offline");
  };

  const hurry = () => {
    if (run && !line) dial();
  };

  const knock = () => {
    post({ hi: 1 });
    expect();
  };

  const tick = () => {
    if (!greeted) leads || knock();
    else if (Date.now() - heard > quiet_ms) probe();
  };

  /** @param {Event} event */
  const listen = ({ type }) => {
    keep();
    if (type === "pagehide") stop();
    else if (type === "pageshow") run || start();
    else if (type === "offline") greeted && probe();
    else if (!document.hidden) greeted ? greet() : hurry(); // somebody looks again, or the network is back
  };
  const types = ["online", "offline", "pagehide", "pageshow", "visibilitychange"];
  for (const type of types) addEventListener(type, listen);
  load();
  start();

  return {
    base,
    token,
    visitor,
    who,
    users: 0,
    bus,
    talk,
    load,
    knowing,
    changed,
    report,
    get status() {
      return status;
    },
    get known() {
      return known;
    },
    close() {
      stop();
      for (const type of types) removeEventListener(type, listen);
      become("closed");
      talk.refuse(CLOSED);
      know();
    },
  };
}

const NEEDS_TOKEN = { code: "unauthenticated", message: "needs a token" };
/** @type {Result & Fault} */ const CLOSED = { ok: false, code: "closed", message: "closed" };
/** @type {Set<ReturnType<typeof connection>>} */ const connections = new Set();
/** @type {Set<string>} what the console has been told */ const warned = new Set();

/**
 * A connection to the hub at `url`, shared by all callers on the page that give the same. Never throws.
 * `token` is that of a site's own user, or a function that gets one and is asked again when it has expired; without it
 * who reacts is an anonymous visitor, unless `visitor` is false.
 * @param {string | URL} url
 * @param {{token?: Token | undefined, visitor?: boolean | undefined}} [options]
 * @returns {Hub}
 */
export function connect(url, { token, visitor = true } = {}) {
  /** @type {ReturnType<typeof connection> | undefined} */ let shared;
  /** @type {Set<() => void>} */ const ends = new Set();
  let base = "";
  try {
    base = new URL(url, document.baseURI).href.replace(/^ws/, "http").replace(/\/*([?#].*)?$/, "/v1/");
    if (!/^http/.test(base)) throw 0;
    shared = [...connections].find(
      (other) => other.base === base && other.token === token && other.visitor === visitor,
    );
    connections.add((shared ??= connection(base, token, visitor)));
    shared.users += 1;
  } catch {
    warn(`"${url}" is no http(s) address`);
  }

  /** @param {string} type @param {(detail: any) => void} listener @param {() => void} [after] */
  const on = (type, listener, after) => {
    const own = (/** @type {any} */ { detail }) => listener(detail);
    const end = () => {
      if (!ends.delete(end)) return;
      shared?.bus.removeEventListener(type, own);
      after?.();
    };
    shared?.bus.addEventListener(type, own);
    ends.add(end);
    return end;
  };

  /** @param {string} item @returns {Result | undefined} */
  const wrong = (item) => {
    if (!shared) return CLOSED;
    if (/^[\w.~:/@%+=,-]{1,200}$/.test(item)) return undefined;
    return shared.report({
      code: "bad_item",
      message: `"${item}" is no item: use A-Z a-z 0-9 _ .~:/@%+=,-`,
      item,
    });
  };

  return {
    url: base.slice(0, -3),
    get status() {
      return shared?.status ?? "closed";
    },
    get kinds() {
      return (async () => {
        if (!shared?.known) await shared?.load();
        return { ...shared?.talk.kinds };
      })();
    },
    subscribe(item, callback, { viewers = false } = {}) {
      if (!shared || wrong(item)) return () => {};
      const { talk } = shared;
      talk.watch(item, viewers, 1);
      shared.changed(item);
      return on(":" + item, callback, () => talk.watch(item, viewers, -1));
    },
    async react(item, kind, value) {
      const fault = wrong(item);
      if (fault) return fault;
      if (!shared?.known) await shared?.knowing;
      return shared?.talk.react(item, kind, value) ?? CLOSED;
    },
    on,
    close() {
      ends.forEach((end) => end());
      if (shared && !--shared.users) {
        connections.delete(shared);
        shared.close();
      }
      shared = undefined;
    },
  };
}

/** One line a cause, however many ask. @param {string} line */
function warn(line) {
  if (!warned.has(line)) console.warn("tallycast: " + line);
  warned.add(line);
}

/** `list` in parts that fit one message, one URL and one request. @param {string[]} list */
function chunks(list) {
  /** @type {string[][]} */ const parts = [];
  let room = 0;
  for (const item of list) {
    room -= item.length + 25;
    if (room < 0) {
      parts.push([]);
      room = 2500;
    }
    parts.at(-1)?.push(item);
  }
  return parts;
}

/** Throws a Fault where the hub says no. @param {string} url @param {RequestInit} [init] @returns {Promise<any>} */
async function fetchJson(url, init) {
  const answer = await fetch(url, { cache: "no-cache", ...init });
  const body = await answer.json().catch(() => null);
  if (answer.ok && body) return body;
  const { code = "not_a_hub", detail = "is no hub: is the address right?", retry_after } = body ?? {};
  throw { code, message: detail, retry_after };
}

/** What a token says; {} where that cannot be read. @param {any} token @returns {Record<string, any>} */
function claims(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
  } catch {
    return {};
  }
}

/** The token, where it has not expired. @param {string | null} token */
const fresh = (token) => (claims(token).exp > Date.now() / 1000 + 5 ? token : null);

/** 128 random bits. Not crypto.randomUUID(): pages without TLS (a phone in the same network) do not have it. */
const uniqueId = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

/** What poll.js takes of this module besides: the connection that such callers share, and how to ask. @internal */
export const backstage = {
  /** @param {Hub} hub @param {Token | undefined} token */
  connection: (hub, token) =>
    [...connections].find((other) => other.base === hub.url + "v1/" && other.token === token && other.visitor),
  fetchJson,
};

/** For the tests of this module; no part of what it promises. @internal */
export const internals = { delay, session };
