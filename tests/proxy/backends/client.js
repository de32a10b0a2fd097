// What a client does with a WebSocket that echoes, with ws, and what came of it.
const { WebSocket } = require('ws');

const [url, ca] = process.argv.slice(2);
const trust = { ca: require('fs').readFileSync(ca) };
const open = () => new Promise((done, failed) => {
    const socket = new WebSocket(url, trust);
    socket.on('open', () => done(socket)).on('error', failed);
});
const message = (socket) => new Promise((done) => socket.once('message', (data, isBinary) => done(isBinary ? data.length : data.toString())));
const close = (socket) => new Promise((done) => socket.once('close', (code, reason) => done(`${code} ${reason}`.trim())));
(async () => {
    const said = [];
    const socket = await open();
    for (const data of ['', '\u00e4\u20ac\u{1f600}', Buffer.alloc(900000, 7)]) {
        socket.send(data);
        said.push(await message(socket));
    }
    socket.send('frag', { fin: false });
    socket.send('ments', { fin: true });
    said.push(await message(socket));
    socket.ping('pong');
    said.push(await new Promise((done) => socket.once('pong', (data) => done(data.toString()))));
    socket.close(4001, 'bye');
    said.push(await close(socket));
    const large = await open();
    large.on('error', () => {});
    large.send('x'.repeat(2 ** 20 + 1));
    said.push((await close(large)).split(' ')[0]);
    console.log(said.join('|'));
})();
