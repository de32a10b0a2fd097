// The demo's page: a chart of server-sent events, what protects the connection, and an echo by WebSocket.
const $ = (id) => document.getElementById(id);

// Several pages that have lost the server do not come back at the same moment.
const soon = () => 1000 + 2000 * Math.random();

// The load of the machine.
const MEASUREMENTS = 120; // as many as the server keeps
const SPAN = 120_000; // what the chart shows, in milliseconds
const SILENCE = 5_000; // a measurement comes each second

const points = new Map(); // by the id of their event, so that none that comes again counts twice
let events;
let heard; // when the last one came
let retry;

function open() {
  clearTimeout(retry);
  events?.close();
  heard = Date.now();
  events = new EventSource('api/load');
  events.addEventListener('load', take);
  events.onerror = () => {
    show('lost', 'connection lost, trying again…');
    // The browser comes back by itself, but not after an answer such as 503.
    if (events.readyState === EventSource.CLOSED) retry = setTimeout(open, soon());
  };
}

// In HTTP/1.1 a browser has six connections for all tabs of a site, so one that nobody sees holds none. What it misses is sent
// when it comes back.
function close() {
  clearTimeout(retry);
  events?.close();
  events = undefined;
}

function show(state, text) {
  document.body.className = state;
  // A screen reader says each change once.
  if ($('state').textContent !== text) $('state').textContent = text;
}

function take(event) {
  heard = Date.now();
  if (document.body.className !== 'live') {
    show('live', 'live');
    facts();
  }
  if (points.has(event.lastEventId)) return;
  points.set(event.lastEventId, JSON.parse(event.data));
  if (points.size > MEASUREMENTS) points.delete(points.keys().next().value);
  draw();
}

const percent = (value) => (value === null || value === undefined ? 'unknown' : `${Math.round(value)} %`);

function draw() {
  const all = [...points.values()];
  const newest = all.at(-1);
  const known = all.filter(({ at, busy }) => busy !== null && at <= newest.at && at > newest.at - SPAN);
  const highest = known.length ? Math.max(...known.map(({ busy }) => busy)) : null;
  $('busy').textContent = percent(newest.busy);
  $('highest').textContent = percent(highest);
  ['one', 'five', 'fifteen'].forEach((id, at) => {
    $(id).textContent = newest.averages ? newest.averages[at].toFixed(2) : 'unknown';
  });
  $('chart-title').textContent =
    `Processors busy in the last two minutes: ${percent(newest.busy)} now, ${percent(highest)} at most`;
  const x = (at) => Math.max(0, 120 + (at - newest.at) / 1000).toFixed(2);
  const y = (busy) => (100 - busy).toFixed(1);
  let line = '';
  let area = '';
  let end; // of the piece before, and where it began
  let begin;
  for (const { at, seconds, busy } of known) {
    const from = at - seconds * 1000;
    if (end === undefined || from - end > 500) {
      // Nothing was measured before: a gap. A longer time has one value, its average.
      if (end !== undefined) area += `V100H${x(begin)}Z`;
      begin = from;
      line += `M${x(from)} ${y(busy)}`;
      area += `M${x(from)} 100V${y(busy)}`;
    } else if (seconds > 2) {
      line += `L${x(from)} ${y(busy)}`;
      area += `L${x(from)} ${y(busy)}`;
    }
    line += `L${x(at)} ${y(busy)}`;
    area += `L${x(at)} ${y(busy)}`;
    end = at;
  }
  if (end !== undefined) area += `V100H${x(begin)}Z`;
  $('line').setAttribute('d', line);
  $('area').setAttribute('d', area);
  if ($('values').open) tabulate(known);
}

function tabulate(known) {
  const rows = known.filter((_, at) => (known.length - 1 - at) % 10 === 0).reverse();
  $('table').replaceChildren(
    ...rows.map(({ at, busy }) => {
      const row = document.createElement('tr');
      row.insertCell().textContent = new Date(at).toLocaleTimeString();
      row.insertCell().textContent = percent(busy);
      return row;
    }),
  );
}

$('values').addEventListener('toggle', () => points.size && draw());

// What protects the connection.
async function facts() {
  const response = await fetch('api/connection').catch(() => undefined);
  if (!response?.ok) return;
  const found = await response.json();
  const days = found.days_left === 1 ? '1 day' : `${found.days_left} days`;
  const rows = [
    ['Protocol', `${found.version}${found.is_resumed ? ', resumed' : ''}`],
    ['Cipher suite', found.cipher_suite],
    ['Key exchange', found.key_exchange ?? 'that of an earlier connection'],
    ['Certificate for', found.names.join(', ')],
    ['Valid for', `${days}, until ${new Date(found.not_after).toLocaleDateString([], { dateStyle: 'medium' })}`],
  ];
  $('facts').replaceChildren(
    ...rows.flatMap(([name, value]) => {
      const [term, text] = [document.createElement('dt'), document.createElement('dd')];
      [term.textContent, text.textContent] = [name, value];
      return [term, text];
    }),
  );
}

// The echo.
const sent = []; // when, for each answer that is still to come
let socket;

function connect() {
  socket = new WebSocket(new URL('api/echo', location).href.replace(/^http/, 'ws'));
  let opened = false;
  socket.onopen = () => {
    opened = true;
    sent.length = 0;
    say('Connected.');
  };
  socket.onmessage = ({ data }) => {
    const line = document.createElement('li');
    for (const text of [data, `${(performance.now() - sent.shift()).toFixed(1)} ms`]) {
      line.append(Object.assign(document.createElement('span'), { textContent: text }));
    }
    $('answers').prepend(line);
    if ($('answers').childElementCount > 5) $('answers').lastElementChild.remove();
  };
  socket.onclose = () => {
    const live = document.body.className === 'live';
    // Safari opens no WebSocket to a certificate that it was only told to bear with.
    const trust = !opened && live ? ' A browser may want the certificate of the demo (ca.pem) to be trusted first.' : '';
    say(`Connection lost, trying again.${trust}`);
    setTimeout(connect, soon());
  };
}

function say(text) {
  if ($('socket').textContent !== text) $('socket').textContent = text;
  $('send').querySelector('button').disabled = socket.readyState !== WebSocket.OPEN;
}

$('send').addEventListener('submit', (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  sent.push(performance.now());
  socket.send($('text').value);
  $('text').select();
});

// A laptop that wakes up, or a network that is gone, may leave a connection that says nothing.
setInterval(() => {
  if (events?.readyState !== EventSource.OPEN || Date.now() - heard < SILENCE) return;
  show('lost', 'connection lost, trying again…');
  open();
}, 1000);

const look = () => (document.hidden ? close() : open());
document.addEventListener('visibilitychange', look);
window.addEventListener('pagehide', close);
window.addEventListener('pageshow', (event) => event.persisted && look());
look();
connect();
