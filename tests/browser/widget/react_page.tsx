/** A page of React's that uses the example of docs/examples, as test_examples.py looks at it. */

import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

import { Reactions } from "../../../docs/examples/react";

function Page() {
  const [post, setPost] = useState(1);
  const [own, setOwn] = useState(0);
  return (
    <>
      <button id="next" onClick={() => setPost(post + 1)}>
        Next post
      </button>
      <output>{own}</output>
      <div id="here">
        <Reactions
          item={`post:${post}`}
          kinds="like,clap"
          ontally:change={({ detail }) => detail.own && setOwn((times) => times + 1)}
        />
      </div>
      <div id="first">{post < 3 && <Reactions item="post:1" />}</div>
    </>
  );
}

const root = createRoot(document.body);
root.render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
