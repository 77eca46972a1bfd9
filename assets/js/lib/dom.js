/**
 * Building and changing the page. Every text that comes from outside goes in as a text node, so no name or label can ever
 * become markup, and the content policy forbids what this module does not do.
 */

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {{ [name: string]: unknown }} Props */

/**
 * Makes an element. `class` and attributes are given by name, listeners as `onclick` and the like; `false`, `null` and
 * `undefined` leave an attribute out, `true` sets it empty.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function" && name.startsWith("on")) {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.filter(isShown).map(textOrNode));
  return element;
}

/** @param {Child} child @returns {child is Node | string | number} */
function isShown(child) {
  return child !== null && child !== undefined && child !== false && child !== "";
}

/** @param {Node | string | number} child @returns {Node | string} */
function textOrNode(child) {
  return typeof child === "number" ? String(child) : child;
}

/**
 * Replaces what an element holds.
 *
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter(isShown).map(textOrNode));
}

/**
 * Sets a text only if it differs: a live region speaks, and a selection is lost, at every write.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Returns a function that rebuilds the content of `element` when what it is made from has changed, and else leaves the
 * nodes alone: rebuilding under a thumb loses the tap, and under a keyboard the focus.
 *
 * @template T
 * @param {Element} element
 * @param {(data: T) => Child[]} build
 * @returns {(data: T) => void}
 */
export function redraw(element, build) {
  /** @type {string | undefined} */
  let drawn;
  return (data) => {
    const key = JSON.stringify(data);
    if (key === drawn) return;
    drawn = key;
    fill(element, ...build(data));
  };
}

/** How far a finger may slide before its tap counts as a scroll. */
const SLIDE_PX = 16;
/** A click that follows a counted tap within this time is its echo. */
const ECHO_MS = 700;

/**
 * Calls `action` once for each tap. Clicks alone are not enough: a browser makes none for the second of two thumbs, and
 * voters use both. A tap that turns into a scroll does not count; keyboards and screen readers come in as clicks.
 *
 * @param {HTMLElement} element
 * @param {() => void} action
 */
export function onTap(element, action) {
  /** @type {Map<number, { x: number, y: number }>} */
  const down = new Map();
  let tappedAt = -Infinity;
  element.addEventListener("pointerdown", (event) => {
    if (event.button === 0) down.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  element.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
  element.addEventListener("pointerleave", (event) => down.delete(event.pointerId));
  element.addEventListener("pointerup", (event) => {
    const start = down.get(event.pointerId);
    down.delete(event.pointerId);
    if (!start || Math.hypot(event.clientX - start.x, event.clientY - start.y) > SLIDE_PX) return;
    tappedAt = event.timeStamp;
    if (!isDisabled(element)) action();
  });
  element.addEventListener("click", (event) => {
    if (event.detail !== 0 && event.timeStamp - tappedAt < ECHO_MS) return;
    if (!isDisabled(element)) action();
  });
}

/** @param {HTMLElement} element */
export function isDisabled(element) {
  return element.getAttribute("aria-disabled") === "true" || element.hasAttribute("disabled");
}

/**
 * Finds an element that the page's own markup promises.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/**
 * Copies a text. The clipboard interface exists on secure pages only, and a laptop on a hall's network is not one.
 *
 * @param {string} text
 * @returns {Promise<boolean>} whether it worked
 */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "off-screen", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/**
 * A button that copies a text and says whether it did.
 *
 * @param {string} label
 * @param {() => string} text
 */
export function copyButton(label, text) {
  const button = h("button", { type: "button", class: "small" }, label);
  button.addEventListener("click", async () => {
    const copied = await copyText(text());
    button.textContent = copied ? "Copied" : "Select and copy by hand";
    setTimeout(() => (button.textContent = label), 2000);
  });
  return button;
}
