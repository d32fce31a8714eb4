const HUB = "https://hub.example.com";

interface Reacting {
  item: string;
  kinds?: string;
  token?: string;
  "ontally:change"?: (event: CustomEvent<{ kind: string; value: number; own: boolean }>) => void;
}

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "tally-reactions": HTMLAttributes<HTMLElement> & Reacting;
    }
  }
}

/** Live reactions to `item`. React puts the script into the page once, however many of these there are. */
export function Reactions(reacting: Reacting) {
  return (
    <>
      <script type="module" async src={`${HUB}/client/widget.js`} />
      <tally-reactions kinds="like,dislike,share" {...reacting} />
    </>
  );
}
