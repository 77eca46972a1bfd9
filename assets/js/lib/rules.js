/** The rules as people read them. */

/** Shown before the first round, so that nobody feels cheated after the last. */
export const TIE_RULE =
  "Same score? The faster voter is ahead: the time from the opening to your last vote, added up over the rounds in which you scored.";
