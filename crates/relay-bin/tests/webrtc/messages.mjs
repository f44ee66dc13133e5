// What the clients in JavaScript exchange: numbered messages of many lengths, so many at a time, each answered.

export const MESSAGES = 1000;
const WINDOW = 16;
// Far beyond what any machine needs: it ends a run that would otherwise wait for ever.
const PATIENCE = 60_000;

export const message = (direction, number) => `${direction} ${number} ${'x'.repeat(number % 1000)}`;

/** The answer to a message of `exchange`. */
export const answer = (text) => message('back', Number(text.split(' ')[1]));

/** Sends the messages with `send`; resolves when each has been answered. `onAnswer` is called with a function that takes an answer. */
export function exchange(send, onAnswer, count = MESSAGES) {
  return new Promise((resolve, reject) => {
    let answered = 0;
    let sent = 0;
    const missing = new Set();
    const lost = () => reject(new Error(`${answered} of ${count} messages were answered; no answer to ${[...missing].join(', ')}`));
    const timer = setTimeout(lost, PATIENCE);
    const fill = () => {
      for (; sent < count && missing.size < WINDOW; sent++) {
        missing.add(sent);
        send(message('there', sent));
      }
    };
    onAnswer((text) => {
      const number = Number(text.split(' ')[1]);
      if (text !== message('back', number) || !missing.delete(number)) reject(new Error(`unexpected answer: ${text.slice(0, 40)}`));
      if (++answered === count) {
        clearTimeout(timer);
        resolve();
      } else if (missing.size === 0) {
        fill();
      }
    });
    fill();
  });
}

/** Runs `main`, says how it went and ends the process, whatever else still runs in it. */
export async function run(main) {
  try {
    await main();
    console.log(`${MESSAGES} messages each way`);
    process.exit(0);
  } catch (error) {
    console.log(`failed: ${error.message ?? error}`);
    process.exit(1);
  }
}
