/** The form of an event: its title, its rules and its rounds. Used to make a room and to change one. */

import { defaultColor } from "../lib/choices.js";
import { h } from "../lib/dom.js";

/**
 * The body of `POST /rooms`.
 * @typedef {object} RoundPlan
 * @property {string} title
 * @property {{ label: string, color?: string }[]} choices
 * @property {number} [seconds]
 * @property {"live" | "hidden" | "held"} [split]
 * @property {number} [blackout_seconds]
 *
 * @typedef {object} EventPlan
 * @property {string} title
 * @property {string} [ref]
 * @property {number} [votes_per_round]
 * @property {"open" | "invite" | "closed"} [join]
 * @property {"open" | "secret"} [programme]
 * @property {boolean} [rehearsal]
 * @property {number} [partitions]
 * @property {RoundPlan[]} rounds
 */

const MOST_ROUNDS = 100;
const MOST_CHOICES = 8;
const DEFAULT_ROUNDS = 7;

/** @returns {EventPlan} seven rounds of A against B */
export function emptyPlan() {
  return { title: "", votes_per_round: 10, join: "open", programme: "open", rounds: Array.from({ length: DEFAULT_ROUNDS }, (_, index) => emptyRound(index + 1)) };
}

/** @param {number} number @returns {RoundPlan} */
function emptyRound(number) {
  return { title: `Round ${number}`, choices: [{ label: "A" }, { label: "B" }], seconds: 60, split: "live", blackout_seconds: 0 };
}

/**
 * @param {EventPlan} plan
 * @param {{ fresh: boolean, opened?: number }} options `fresh` for a new room; `opened`: so many rounds may not be dropped
 * @returns {{ el: HTMLElement, value: () => EventPlan }}
 */
export function eventEditor(plan, { fresh, opened = 0 }) {
  const title = input("event-title", { required: true, value: plan.title });
  const votes = input("votes", { type: "number", min: 1, max: 100, class: "short", value: plan.votes_per_round ?? 10 });
  const join = select("join", { open: "Open: whoever has the code", invite: "By invite only", closed: "Closed: nobody new" }, plan.join ?? "open");
  const programme = select("programme", { open: "Everybody may see it ahead", secret: "Secret until each round opens" }, plan.programme ?? "open");
  const rehearsal = h("input", { type: "checkbox", id: "rehearsal", checked: plan.rehearsal });
  const partitions = input("partitions", { type: "number", min: 1, max: 64, class: "short", value: plan.partitions ?? 1 });

  const list = h("ol", { class: "stack" });
  /** @type {ReturnType<typeof roundEditor>[]} */
  let editors = [];
  const add = (/** @type {RoundPlan} */ round) => {
    const editor = roundEditor(round, editors.length + 1, editors.length < opened, () => {
      editors = editors.filter((other) => other !== editor);
      editor.el.remove();
      renumber();
    });
    editors.push(editor);
    list.append(editor.el);
    renumber();
  };
  const more = h("button", { type: "button", onclick: () => add(emptyRound(editors.length + 1)) }, "Add a round");
  const renumber = () => {
    editors.forEach((editor, index) => editor.number(index + 1));
    more.disabled = editors.length >= MOST_ROUNDS;
  };
  plan.rounds.forEach(add);

  const el = h(
    "div",
    { class: "stack" },
    labelled("Title", title),
    h("div", { class: "row" }, labelled("Votes per round", votes), labelled("Who may join", join), labelled("Programme", programme)),
    fresh && h("div", { class: "row" }, h("label", { class: "check", for: "rehearsal" }, rehearsal, h("span", {}, "A rehearsal, marked on every screen")), labelled("Partitions (1 but for a stadium)", partitions)),
    h("h2", {}, "Rounds"),
    list,
    h("div", { class: "row" }, more),
  );
  return {
    el,
    value: () => ({
      title: title.value.trim(),
      votes_per_round: Number(votes.value),
      join: /** @type {EventPlan["join"]} */ (join.value),
      programme: /** @type {EventPlan["programme"]} */ (programme.value),
      ...(fresh ? { rehearsal: rehearsal.checked, partitions: Number(partitions.value) } : {}),
      rounds: editors.map((editor) => editor.value()),
    }),
  };
}

/**
 * @param {RoundPlan} plan
 * @param {number} first its number at first
 * @param {boolean} locked it was opened: only words, colours and the split may change
 * @param {() => void} drop
 */
function roundEditor(plan, first, locked, drop) {
  const id = `round-${Math.random().toString(36).slice(2)}`;
  const title = input(`${id}-title`, { required: true, value: plan.title });
  const seconds = input(`${id}-seconds`, { type: "number", min: 5, max: 86400, class: "short", value: plan.seconds ?? "", placeholder: "no end", disabled: locked });
  const split = select(`${id}-split`, { live: "Live", hidden: "Hidden until the close", held: "Held until you show it" }, plan.split ?? "live");
  const blackout = input(`${id}-blackout`, { type: "number", min: 0, max: 86400, class: "short", value: plan.blackout_seconds ?? 0, disabled: locked });
  const summary = h("summary");
  const list = h("ul", { class: "stack" });
  let number = first;

  /** @type {{ label: HTMLInputElement, color: HTMLInputElement, given: boolean, el: HTMLElement, remove: HTMLButtonElement }[]} */
  let choices = [];
  const more = h("button", { type: "button", class: "small", disabled: locked, onclick: () => add({ label: String.fromCharCode(65 + choices.length) }) }, "Add a choice");
  const add = (/** @type {{ label: string, color?: string }} */ choice) => {
    const index = choices.length;
    const label = h("input", { required: true, value: choice.label, "aria-label": `Label of choice ${index + 1}` });
    const color = h("input", { type: "color", value: choice.color ?? defaultColor(index), "aria-label": `Colour of choice ${index + 1}` });
    const remove = h("button", { type: "button", class: "small", "aria-label": `Remove choice ${index + 1}` }, "Remove");
    const entry = { label, color, given: choice.color !== undefined, el: h("li", { class: "row" }, color, label, remove), remove };
    color.addEventListener("input", () => (entry.given = true));
    remove.addEventListener("click", () => {
      choices = choices.filter((other) => other !== entry);
      entry.el.remove();
      update();
    });
    label.addEventListener("input", update);
    choices.push(entry);
    list.append(entry.el);
    update();
  };
  title.addEventListener("input", update);
  const dropButton = h("button", { type: "button", class: "small danger", disabled: locked, onclick: drop }, "Remove this round");

  function update() {
    summary.textContent = `${number}. ${title.value}: ${choices.map((choice) => choice.label.value).join(" / ")}${locked ? " (was opened)" : ""}`;
    more.disabled = locked || choices.length >= MOST_CHOICES;
    for (const choice of choices) choice.remove.disabled = locked || choices.length <= 2;
  }
  plan.choices.forEach(add);

  const el = h(
    "li",
    {},
    h(
      "details",
      { class: "round-edit" },
      summary,
      h(
        "div",
        { class: "stack" },
        labelled("Title", title),
        list,
        h("div", { class: "row" }, more),
        h("div", { class: "row" }, labelled("Seconds", seconds), labelled("Split", split), labelled("Last seconds in the dark", blackout), dropButton),
      ),
    ),
  );
  return {
    el,
    /** @param {number} now */
    number(now) {
      number = now;
      update();
    },
    /** @returns {RoundPlan} */
    value: () => ({
      title: title.value.trim(),
      choices: choices.map(({ label, color, given }) => ({ label: label.value.trim(), ...(given ? { color: color.value } : {}) })),
      ...(seconds.value === "" ? {} : { seconds: Number(seconds.value) }),
      split: /** @type {RoundPlan["split"]} */ (split.value),
      blackout_seconds: Number(blackout.value),
    }),
  };
}

/** @param {string} id @param {import("../lib/dom.js").Props} props */
function input(id, props) {
  return h("input", { id, ...props });
}

/** @param {string} id @param {{ [value: string]: string }} options @param {string} chosen */
function select(id, options, chosen) {
  return h("select", { id }, ...Object.entries(options).map(([value, label]) => h("option", { value, selected: value === chosen }, label)));
}

/** @param {string} label @param {HTMLElement} field */
function labelled(label, field) {
  return h("label", { for: field.id }, h("span", {}, label), field);
}
