// One normative rule of RFC 8684, as the tables of this folder hold them. The tests name a rule by its id at
// the head of their title (`test('C8a, J6d: …'`); docs/RFC8684.md is made of both (rules-table.ts).

/** RECOMMENDED counts as SHOULD; `text` is a rule that the RFC states without a key word. */
export type Level = 'MUST' | 'SHOULD' | 'MAY' | 'text';

export interface Rule {
  /** A letter for the topic, a number, and a letter where one topic has several rules. */
  readonly id: string;
  readonly level: Level;
  /** Where RFC 8684 says it; several when it says it more than once. */
  readonly section: string;
  /** What it asks for. */
  readonly asks: string;
  /** What this stack does. `[room/file.ts]` becomes a link into src. */
  readonly here: string;
  /** Why it is not done, done otherwise, or why no test can prove it. */
  readonly reason?: string;
}
