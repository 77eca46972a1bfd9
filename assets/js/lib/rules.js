/** The rules as they are told to people. */

/** Told before the first round, so that nobody feels cheated by it after the last. */
export const TIE_RULE =
  "Same score? The faster voter is ahead: the time from the opening to your last vote, added up over the rounds in which you scored.";
