// Decides the reason codes of MP_TCPRST (RFC 8684 §3.6): one table, used by whoever resets a subflow.

export const ResetReason = {
  UNSPECIFIED: 0,
  MPTCP: 1,
  RESOURCES: 2,
  ADMINISTRATIVE: 3,
  OUTSTANDING: 4,
  PERFORMANCE: 5,
  MIDDLEBOX: 6,
} as const;

/** The code in words. */
export const RESET_REASON_TEXT: readonly string[] = [
  'unspecified error',
  'MPTCP-specific error',
  'lack of resources',
  'administratively prohibited',
  'too much outstanding data',
  'unacceptable performance',
  'middlebox interference',
];

/** Reasons that will not pass soon. */
export const LASTING_REASONS: ReadonlySet<number> = new Set([ResetReason.RESOURCES, ResetReason.MIDDLEBOX]);
