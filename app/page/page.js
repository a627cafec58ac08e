// The live page: asks the node once a second what it knows, and listens to its events.
'use strict';

const colours = ['#0969da', '#1a7f37', '#8250df', '#bf3989', '#9a6700', '#cf222e', '#0a7c86'];
const byId = (id) => document.getElementById(id);

async function ask(path) {
  const reply = await fetch(path, {cache: 'no-store'});
  return reply.json();
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function rows(id, list, empty) {
  const body = byId(id);
  body.replaceChildren();
  for (const cells of list.length ? list : [[empty]]) {
    const row = element('tr');
    for (const cell of cells) row.append(element('td', cell));
    body.append(row);
  }
}

function size(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; ++unit; }
  return (unit ? bytes.toFixed(1) : bytes) + ' ' + units[unit];
}

// Islands: who is here shares this node's; each that is away is an island of its own to us.
function draw(nodes, members) {
  const here = new Map(nodes.map((node) => [node.name, node]));
  const all = [...nodes.map((node) => ({...node, here: true, island: 0}))];
  let island = 0;
  for (const member of members)
    if (!here.has(member.name) && member.state !== 'left') all.push({...member, here: false, links: [], island: ++island});
  all.sort((a, b) => a.name < b.name ? -1 : 1);
  const place = new Map(all.map((node, i) => {
    const angle = 2 * Math.PI * i / all.length - Math.PI / 2;
    const spread = all.length === 1 ? 0 : 1;
    return [node.name, {x: 360 + spread * 270 * Math.cos(angle), y: 205 + spread * 150 * Math.sin(angle)}];
  }));
  const picture = byId('picture');
  picture.replaceChildren();
  for (const node of all)
    for (const other of node.links)
      if (node.name < other && place.has(other)) {
        const from = place.get(node.name), to = place.get(other);
        picture.append(shape('line', {x1: from.x, y1: from.y, x2: to.x, y2: to.y}));
      }
  for (const node of all) {
    const {x, y} = place.get(node.name);
    const colour = colours[node.island % colours.length];
    picture.append(shape('circle', {cx: x, cy: y, r: 14, fill: node.here ? colour : 'none', stroke: colour, 'stroke-width': 2}));
    if (node.oldest) picture.append(shape('circle', {cx: x, cy: y, r: 19, class: 'oldest'}));
    picture.append(shape('text', {x, y: y + 34}, node.name + (node.self ? ' (this node)' : '')));
  }
}

const stateOf = (table) => !table.held ? 'elsewhere' : table.ready && !table.writable ? 'read-only' : table.readiness;

function show(nodes, members, tables, topologies, unsplit) {
  byId('self').textContent = nodes.self;
  document.title = 'muster: ' + nodes.self;
  draw(nodes.nodes, members.members);
  const waiting = tables.tables.filter((table) => table.held && !table.ready).length;
  const apart = tables.tables.some((table) => table.apart.length);
  const closed = tables.tables.some((table) => table.held && !table.writable);
  const state = byId('state');
  state.textContent = apart ? 'apart' : waiting ? 'not ready' : closed ? 'read-only' : 'ready';
  state.className = 'badge ' + (apart ? 'bad' : waiting || closed ? '' : 'good');
  rows('tables', tables.tables.map((table) => [table.name, stateOf(table), table.entries, size(table.bytes),
    table.replicas.join(' '), table.apart.join(' ') || '-', table.set_aside, table.journal, table.on_split, table.detail]), 'no tables');
  rows('topologies', topologies.topologies.map((topology) => [topology.name, topology.strategy,
    (topology.last_pass ?? 'none yet') + (topology.unknown_reason ? ': ' + topology.unknown_reason : ''),
    topology.peers.map((peer) => peer.name + ' (' + peer.state + (peer.reason ? ', ' + peer.reason : '') + ')').join(', ')]),
  'none: nodes are connected by hand');
  rows('heals', unsplit.heals.slice().reverse().map((heal) => [heal.at.slice(0, 19).replace('T', ' '), heal.table, heal.context, heal.rule,
    heal.healed ? heal.winner : 'nobody: apart', heal.set_aside, heal.healed ? heal.took_ms + ' ms' : '-', heal.text]), unsplit.running ? 'none so far' : 'unsplit does not run: splits stay apart');
}

async function refresh() {
  try {
    show(...await Promise.all(['v1/nodes', 'v1/members', 'v1/tables', 'v1/topologies', 'v1/unsplit'].map(ask)));
  } catch {
    const state = byId('state');
    state.textContent = 'the node does not answer';
    state.className = 'badge bad';
  }
}

function listen() {
  const source = new EventSource('v1/events');
  const seen = new Set();
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    const mark = event.number + event.at;
    if (seen.has(mark)) return;  // Told again after a new connection.
    seen.add(mark);
    const item = element('li', undefined, {class: ['alarm', 'apart', 'inconsistent_database', 'refused'].includes(event.kind) ? 'alarm' : ''});
    item.append(element('time', event.at.slice(11, 23)), ' ', element('strong', event.kind), ' ',
      element('span', event.topic, {class: 'topic'}), ' ', event.detail);
    byId('events').prepend(item);
    while (byId('events').children.length > 200) byId('events').lastChild.remove();
    refresh();
  };
}

refresh();
setInterval(refresh, 1000);
listen();
