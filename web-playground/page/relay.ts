// The page's side of the worker.

import type { Ask, Calls, Reply } from './model';

type Progress = (progress: { bytes: number; total: number; rows: number }) => void;
interface Waiting {
  resolve: (answer: never) => void;
  reject: (error: Error) => void;
  progress?: Progress;
}

const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
const waiting = new Map<number, Waiting>();
let last = 0;

worker.addEventListener('message', ({ data: reply }: MessageEvent<Reply>) => {
  const call = waiting.get(reply.id);
  if (!call) return;
  if ('progress' in reply) {
    call.progress?.(reply.progress);
    return;
  }
  waiting.delete(reply.id);
  if ('error' in reply) call.reject(new Error(reply.error));
  else call.resolve(reply.answer as never);
});

worker.addEventListener('error', (event) => {
  event.preventDefault();
  const error = new Error(event.message || 'The WebAssembly module could not be started in this browser.');
  for (const call of waiting.values()) call.reject(error);
  waiting.clear();
});

/** Asks the worker. */
export function ask<Name extends keyof Calls>(
  name: Name,
  args: Calls[Name]['ask'],
  progress?: Progress,
): Promise<Calls[Name]['answer']> {
  const id = ++last;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject, ...(progress && { progress }) });
    worker.postMessage({ id, name, ...args } as Ask);
  });
}
