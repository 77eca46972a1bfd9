/** HTTP calls to the server. Every failure comes out as an `ApiError` with a stable code and words for people. */

/** How long a call may take. After that its outcome is unknown, and it is safe to say it again. */
const TIMEOUT_MS = 8000;

/** A call that did not work out. */
export class ApiError extends Error {
  /**
   * @param {{ code: string, detail: string, status?: number, retryAfterMs?: number, problem?: { [field: string]: unknown } }} failure
   */
  constructor({ code, detail, status = 0, retryAfterMs, problem = {} }) {
    super(detail);
    this.name = "ApiError";
    /** The server's word for it, or `unreachable`, `no_answer`, `bad_answer`. */
    this.code = code;
    /** What to tell a person. */
    this.detail = detail;
    /** HTTP status, 0 when there was no answer. */
    this.status = status;
    /** How long the server asks the client to wait, if it does. */
    this.retryAfterMs = retryAfterMs;
    /** Every field of the answer, such as `suggestion`. */
    this.problem = problem;
  }

  /** Whether the same call may simply work a little later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

/**
 * Makes one call under `/api/v1`.
 *
 * @param {string} method
 * @param {string} path such as `/rooms`
 * @param {{ body?: unknown, csv?: string, token?: string, anonymous?: boolean }} [options] `csv` is sent as it is, `body` as
 *   JSON; `anonymous` leaves cookies out
 * @returns {Promise<any>} the answer's JSON, or null if it has none
 */
export async function call(method, path, { body, csv, token, anonymous } = {}) {
  /** @type {{ [name: string]: string }} */
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (csv !== undefined) headers["Content-Type"] = "text/csv; charset=utf-8";
  else if (body !== undefined) headers["Content-Type"] = "application/json";
  const sent = csv ?? (body === undefined ? undefined : JSON.stringify(body));

  /** @type {Response} */
  let response;
  /** @type {string} */
  let text;
  try {
    const credentials = anonymous ? "omit" : "same-origin";
    response = await fetch(`/api/v1${path}`, { method, headers, body: sent, credentials, signal: AbortSignal.timeout(TIMEOUT_MS) });
    text = await response.text();
  } catch (error) {
    throw noAnswer(error);
  }
  const json = parse(text);
  if (response.ok) {
    if (text !== "" && json === undefined) {
      throw new ApiError({ code: "bad_answer", detail: "The server's answer could not be read.", status: response.status });
    }
    return json ?? null;
  }
  throw problem(response, json);
}

/** @param {unknown} error */
function noAnswer(error) {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return new ApiError({ code: "no_answer", detail: "No answer in time. It may or may not have arrived; it is safe to say it again." });
  }
  return new ApiError({
    code: "unreachable",
    detail: navigator.onLine ? "The server cannot be reached." : "This device is offline.",
  });
}

/**
 * @param {Response} response
 * @param {any} json
 */
function problem(response, json) {
  const retryAfter = Number(response.headers.get("Retry-After"));
  const isProblem = json !== null && typeof json === "object";
  return new ApiError({
    code: isProblem && typeof json.code === "string" ? json.code : `http_${response.status}`,
    detail: (isProblem && (json.detail || json.title)) || `The server answered ${response.status}.`,
    status: response.status,
    retryAfterMs: retryAfter > 0 ? retryAfter * 1000 : undefined,
    problem: isProblem ? json : {},
  });
}

/** @param {string} text */
function parse(text) {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
