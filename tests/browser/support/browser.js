/** Debian's Chromium, with every complaint of every page on record. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const SIZES = {
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
  desk: { viewport: { width: 1280, height: 800 } },
  stage: { viewport: { width: 1920, height: 1080 } },
};

/** Nothing on a page takes this long, even on a slow machine. */
const WAIT_MS = 20_000;

export async function startBrowser() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
  });
  /** @type {string[]} */
  const complaints = [];
  return {
    complaints,
    /**
     * @param {keyof typeof SIZES} size
     * @param {RegExp[]} expected complaints that the test provokes
     */
    async page(size, expected = []) {
      const context = await browser.newContext(SIZES[size]);
      const page = await context.newPage();
      page.setDefaultTimeout(WAIT_MS);
      const note = (text) => expected.some((pattern) => pattern.test(text)) || complaints.push(`${size}: ${text}`);
      page.on("console", (message) => ["error", "warning"].includes(message.type()) && note(message.text()));
      page.on("pageerror", (error) => note(`thrown: ${error.stack}`));
      return page;
    },
    closePages: () => Promise.all(browser.contexts().map((context) => context.close())),
    stop: () => browser.close(),
  };
}

/**
 * Saves a screenshot if screenshots are requested.
 *
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
export async function picture(page, name) {
  const folder = process.env.SCREENSHOTS_DIR;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), animations: "disabled" });
}
