// What Linux 6.18 did with itself in the rows of the middlebox matrix that need two paths or an announced
// address, as measured before on real machines. Kept for the document until they are measured on the wire.

export const LINUX: Readonly<Record<string, string>> = {
  '9': 'goes on with the second path',
  '12': 'goes on with the second path',
  '26': 'TCP: its own ADD_ADDR without DATA_ACK makes it fall back',
  '27': 'that subflow ends',
  '28': 'that subflow ends',
};
