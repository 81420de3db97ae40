// The reporter of a test file of which only the verdict is wanted: it ends the process at the first failure, and says
// at the end how much of a processor was used.
//
// Before: reach.ts loads it by `--test-reporter`.

interface TestEvent {
  type: string;
  data: { name?: string; details?: { error?: { cause?: unknown } }; todo?: unknown };
}

export default async function* verdict(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  process.once('exit', () => {
    const { user, system } = process.cpuUsage();
    console.log(`cpu-ms ${Math.round((user + system) / 1_000)}`);
  });
  for await (const { type, data } of source) {
    if (type !== 'test:fail' || data.todo) continue;
    console.log(`failed: ${data.name}: ${String(data.details?.error?.cause)}`);
    process.exit(1);
  }
  yield '';
}
