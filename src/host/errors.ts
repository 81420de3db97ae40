// Decides how a host reports misuse: one class, errno-like codes. Peer faults never come here.

export class HostError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(`${code}: ${message}`);
    this.name = 'HostError';
    this.code = code;
  }
}
