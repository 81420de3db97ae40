// Says something to the echo server and prints the answer: node examples/echo-client.mjs [TEXT] [PORT] [HOST]
import { connect } from 'mptcp';

const [text = 'hello', port = '7000', host = '127.0.0.1'] = process.argv.slice(2);

const socket = connect({ port: Number(port), host });
socket.end(text);

let answer = '';
for await (const chunk of socket.setEncoding('utf8')) answer += chunk;
console.log(answer);
