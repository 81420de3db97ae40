#!/usr/bin/env node
// The command `mptcp`: finds the file of a subcommand, loads that one only, and turns what it throws into one
// line on standard error. Exit codes: 0 done, 1 it failed, 2 it was asked for something that cannot be.
//
// A command file exports `usage` and `run(args)`, which returns the exit code. Next on the way: the command.

import { readFileSync } from 'node:fs';
import { commandLineMistake, messageOf } from './command-line.ts';

interface Command {
  usage: string;
  run(args: string[]): Promise<number>;
}

interface Entry {
  summary: string;
  load(): Promise<Command>;
}

const commands: Readonly<Record<string, Entry>> = {
  demo: {
    summary: 'send a file over two emulated networks and lose one of them on the way',
    load: () => import('./demo.ts'),
  },
  listen: {
    summary: 'wait for a connection and join it to standard input and output',
    load: () => import('./listen.ts'),
  },
  connect: {
    summary: 'open a connection and join it to standard input and output',
    load: () => import('./connect.ts'),
  },
  tun: {
    summary: 'set up TUN devices; let kernel servers be reached by TCP in UDP',
    load: () => import('./tun.ts'),
  },
  ss: {
    summary: "list the kernel's Multipath TCP sockets and their subflows",
    load: () => import('./ss.ts'),
  },
  stat: {
    summary: "the kernel's counters of Multipath TCP, and what they mean",
    load: () => import('./stat.ts'),
  },
  monitor: {
    summary: "follow what happens to the kernel's connections",
    load: () => import('./monitor.ts'),
  },
  endpoint: {
    summary: "add, remove and list the addresses of the kernel's path manager",
    load: () => import('./endpoint.ts'),
  },
  limits: {
    summary: "the limits of the kernel's path manager",
    load: () => import('./limits.ts'),
  },
  sim: {
    summary: 'run random networks in virtual time and check what arrives',
    load: () => import('./sim.ts'),
  },
};

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever read our output has left, as `head` does: nobody is there to be told more.
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});
process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const [name = '', ...rest] = args;
  if (name === '' || name === '--help' || name === '-h' || name === 'help') {
    const topic = commands[rest[0] ?? ''];
    process.stdout.write(topic ? (await topic.load()).usage : overview());
    return name === '' ? 2 : 0;
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${version()}\n`);
    return 0;
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!entry) {
    const what = name.startsWith('-') ? 'option' : 'command';
    process.stderr.write(`mptcp: unknown ${what} "${name}"; mptcp --help lists them\n`);
    return 2;
  }
  const command = await entry.load();
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(command.usage);
    return 0;
  }
  try {
    return await command.run(rest);
  } catch (error) {
    process.stderr.write(`mptcp ${name}: ${messageOf(error)}\n`);
    return commandLineMistake(error) ? 2 : 1;
  }
}

function overview(): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => `  mptcp ${name.padEnd(9)}${summary}\n`);
  return [
    'mptcp: one connection over every network you have\n\n',
    ...rows,
    '\n  mptcp COMMAND --help    what the command takes\n',
    '  mptcp --version         the version of this package\n',
    '\nMultipath TCP does not encrypt: run TLS over it where the network is not yours.\n',
  ].join('');
}

function version(): string {
  const description = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(description) as { version: string }).version;
}
