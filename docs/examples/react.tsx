import type { HTMLAttributes } from "react";

const HUB = "https://hub.example.com";

type Tally = HTMLAttributes<HTMLElement> & { item: string; kinds?: string; token?: string };

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "tally-reactions": Tally;
    }
  }
}

/** Live reactions to `item`. React puts the script into the page once, however many of these there are. */
export function Reactions({ item, kinds = "like,dislike,share" }: { item: string; kinds?: string }) {
  return (
    <>
      <script type="module" async src={`${HUB}/client/widget.js`} />
      <tally-reactions item={item} kinds={kinds} />
    </>
  );
}
