// The gateway's page: readings, and an upload that shows its progress and goes on after a pause or a lost connection.
const $ = (id) => document.getElementById(id);

/** The answer, or an error that says what the problem document says. */
async function ask(path, options) {
  const response = await fetch(path, options);
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const faults = (problem.errors ?? []).map((fault) => `${fault.pointer ?? fault.parameter ?? ''} ${fault.detail}`);
  throw new Error([problem.detail ?? problem.title ?? response.status, ...faults].join(' '));
}

// Readings.
let last = 0;
const shown = [];

async function more() {
  const { readings, next } = await (await ask(`api/readings?after=${last}&limit=100`)).json();
  for (const { id, sensor, celsius } of readings) {
    last = id;
    shown.push(celsius);
    const row = $('readings').insertRow(0);
    for (const text of [id, sensor, celsius.toFixed(1)]) row.insertCell().textContent = text;
    if ($('readings').rows.length > 6) $('readings').deleteRow(-1);
  }
  $('more').hidden = next === null;
  draw(shown.slice(-40));
  $('state').textContent = `${shown.length} readings`;
}

function draw(values) {
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const point = (value, at) => `${(at * 400) / Math.max(values.length - 1, 1)},${110 - ((value - low) * 100) / span}`;
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
  line.setAttribute('points', values.map(point).join(' '));
  $('chart').replaceChildren(line);
}

$('more').onclick = more;
$('add').onsubmit = async (event) => {
  event.preventDefault();
  const { sensor, celsius } = Object.fromEntries(new FormData(event.target));
  const body = JSON.stringify({ sensor, celsius: Number(celsius) });
  try {
    await ask('api/readings', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    $('add-fault').textContent = '';
    await more();
  } catch (error) {
    $('add-fault').textContent = error.message;
  }
};

// Firmware: an upload as of draft-ietf-httpbis-resumable-upload.
let upload; // where it is, its file, and the request that is under way

async function begin(file) {
  const response = await ask('api/firmware', { method: 'PUT', headers: { 'upload-complete': '?0' } });
  upload = { at: response.headers.get('location'), file };
  await send(0);
}

async function resume() {
  const response = await ask(upload.at, { method: 'HEAD' });
  await send(Number(response.headers.get('upload-offset')));
}

function send(offset) {
  return new Promise((done, failed) => {
    const request = (upload.request = new XMLHttpRequest());
    request.open('PATCH', upload.at);
    request.setRequestHeader('content-type', 'application/partial-upload');
    request.setRequestHeader('upload-complete', '?1');
    request.setRequestHeader('upload-offset', offset);
    request.upload.onprogress = (event) => {
      $('progress').value = (offset + event.loaded) / upload.file.size;
    };
    request.onload = () => (request.status < 300 ? done(finish(request)) : failed(new Error(request.responseText)));
    request.onabort = () => done(state('paused', 'Resume'));
    request.onerror = () => failed(new Error('the connection was lost'));
    request.send(upload.file.slice(offset));
    state('uploading…', 'Pause');
  });
}

function finish(request) {
  const { bytes, sha256 } = JSON.parse(request.responseText);
  upload = undefined;
  $('progress').value = 1;
  state(`${bytes} bytes installed, SHA-256 ${sha256.slice(0, 16)}…`);
}

function state(text, action) {
  $('uploaded').textContent = text;
  $('pause').textContent = action ?? '';
  $('pause').hidden = !action;
}

const failed = (error) => state(error.message, upload && 'Resume');

$('upload').onsubmit = (event) => {
  event.preventDefault();
  begin(event.target.file.files[0]).catch(failed);
};
$('pause').onclick = () => {
  if ($('pause').textContent === 'Pause') upload.request.abort();
  else resume().catch(failed);
};

more().catch((error) => {
  $('state').textContent = error.message;
});
