// Answers line by line what the URL parser of the WHATWG makes of a Location: for
// ["<base>", "<location>"] an object with origin, pathname and href, or with an
// error (https://url.spec.whatwg.org/#url-parsing).
import { createInterface } from 'node:readline';

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const [base, location] = JSON.parse(line);
  let answer;
  try {
    const { origin, pathname, href } = new URL(location, base);
    answer = { origin, pathname, href };
  } catch (error) {
    answer = { error: error.code };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
