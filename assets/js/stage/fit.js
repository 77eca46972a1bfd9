/** Type as large as its box allows: names and labels have no fixed length, and the back row has to read them. */

const STEPS = 12;

/**
 * Sets `--fit` on `box` to the largest font size in pixels at which nothing in it overflows.
 *
 * @param {HTMLElement} box must have a size of its own, not one from its content
 * @param {number} min
 * @param {number} max
 */
export function fit(box, min, max) {
  let low = min;
  let high = max;
  const fits = (/** @type {number} */ size) => {
    box.style.setProperty("--fit", `${size}px`);
    return box.scrollHeight <= box.clientHeight + 1 && box.scrollWidth <= box.clientWidth + 1;
  };
  if (fits(max)) return;
  for (let step = 0; step < STEPS && high - low > 0.5; step += 1) {
    const middle = (low + high) / 2;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  fits(low);
}

/** Fits every marked box below an element: `data-fit="min max"` in hundredths of the screen's height. @param {HTMLElement} root */
export function fitAll(root) {
  for (const box of root.querySelectorAll("[data-fit]")) {
    if (!(box instanceof HTMLElement)) continue;
    const [min, max] = (box.dataset.fit ?? "").split(" ").map(Number);
    fit(box, (min * innerHeight) / 100, (max * innerHeight) / 100);
  }
}
