// The table of scenarios in docs/RFC8684.md: which tests play each of them in which role, and what is wrong with that.

import { type Title, titlesOf } from './proofs.ts';
import type { Scenario } from './scenarios.ts';

/** What is wrong: a role without a test, and a name that no test has. */
export function scenarioComplaints(scenarios: readonly Scenario[], find: Find = titlesOf): string[] {
  const wrong: string[] = [];
  for (const { what, both = [], client = [], server = [] } of scenarios) {
    for (const [role, tests] of [
      ['client', client],
      ['server', server],
    ] as const) {
      if (both.length + tests.length === 0) wrong.push(`${what}: no test as ${role}`);
    }
    for (const name of [...both, ...client, ...server]) {
      if (matches(name, find).length === 0) wrong.push(`${what}: there is no test "${name}"`);
    }
  }
  return wrong;
}

export function renderScenarios(scenarios: readonly Scenario[], find: Find = titlesOf): string[] {
  const cell = (names: readonly string[] = []): string => {
    const titles = names.flatMap(name => matches(name, find));
    const links = titles.map(({ file, title }) => `[${bare(title).replace(/[[\]|]/g, '\\$&')}](../${file})`);
    return [...new Set(links)].join('<br>');
  };
  const rows = scenarios.map(({ what, section, both, client, server }) => {
    return `| ${what} | ${section} | ${cell(both)} | ${cell(client)} | ${cell(server)} |`;
  });
  return [...HEAD, ...rows];
}

/** The tests of a file. */
type Find = (file: string) => readonly Title[];

function matches(name: string, find: Find): readonly Title[] {
  const at = name.indexOf(': ');
  return find(name.slice(0, at)).filter(({ title }) => title.includes(name.slice(at + 2)));
}

/** Without the rules it proves. */
function bare(title: string): string {
  return title.replace(/^[A-Z]\d+[a-z]?(?:, [A-Z]\d+[a-z]?)*: /, '');
}

const HEAD: readonly string[] = [
  '',
  '## Scenarios, in both roles',
  '',
  'What a whole RFC 8684 has to stand, and the tests that play it with our stack as the client and as the server. The list is',
  '[test/conformance/scenarios.ts](../test/conformance/scenarios.ts); a test fails when a role of a scenario has none.',
  '',
  '| scenario | § | both roles | as the client | as the server |',
  '|---|---|---|---|---|',
];
