import assert from "node:assert/strict";
import { test } from "node:test";
import { isEmpty } from "../../../assets/js/emcee/fits.js";
import { takesText } from "../../../assets/js/emcee/keys.js";
import { Rest, REST_MS } from "../../../assets/js/emcee/rest.js";

test("a step is disabled for two seconds after the previous one", () => {
  const rest = new Rest();
  assert.equal(REST_MS, 2000);
  assert.equal(rest.left("Open round 1", 5000), 0, "a page that was just opened does not rest");
  assert.equal(rest.left("Close round 1", 5100), 2000);
  assert.equal(rest.left("Close round 1", 7099), 1);
  assert.equal(rest.left("Close round 1", 7100), 0);
  assert.equal(rest.left("Open round 2", 7200), 2000);
});

test("a round is empty until a vote is known", () => {
  assert.ok(isEmpty({ phase: "open" }));
  assert.ok(isEmpty({ phase: "open", tally: { version: 1, total: 0, voters: 0 } }));
  assert.ok(!isEmpty({ phase: "open", tally: { version: 2, total: 1, voters: 1 } }));
});

test("letters are text only in input fields", () => {
  for (const type of ["text", "search", "number", "password", "date"]) assert.ok(takesText({ tagName: "INPUT", type }), type);
  assert.ok(takesText({ tagName: "TEXTAREA" }));
  assert.ok(takesText({ tagName: "DIV", isContentEditable: true }));
  for (const type of ["checkbox", "radio", "file", "color", "range"]) assert.ok(!takesText({ tagName: "INPUT", type }), type);
  for (const tagName of ["BUTTON", "SELECT", "SUMMARY", "BODY", "A"]) assert.ok(!takesText({ tagName, isContentEditable: false }), tagName);
});
