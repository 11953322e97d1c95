// What a user of memjs does, whose only protocol is the binary one. Run with the host, the port and perhaps a
// user and a password; HOLDFAST_MEMJS names the folder that memjs was installed in.
const assert = require('assert');
const path = require('path');
const memjs = require(path.join(process.env.HOLDFAST_MEMJS, 'node_modules', 'memjs'));

const [host, port, username, password] = process.argv.slice(2);
const client = (password) => memjs.Client.create(`${host}:${port}`, {username, password, retries: 1, timeout: 10});
const text = (found) => found.value && found.value.toString();

async function main() {
  const c = client(password);
  await c.flush();
  assert.strictEqual(text(await c.get('a')), null);
  assert.strictEqual(await c.set('a', 'one', {expires: 100}), true);
  assert.strictEqual(text(await c.get('a')), 'one');
  assert.strictEqual(await c.add('a', 'two', {}), false);
  assert.strictEqual(await c.replace('none', 'two', {}), false);
  assert.strictEqual(await c.replace('a', 'two', {}), true);
  assert.strictEqual(await c.append('a', '>'), true);
  assert.strictEqual(text(await c.get('a')), 'two>'); // its prepend appends
  assert.strictEqual((await c.increment('n', 1, {initial: 5})).value, 5);
  assert.strictEqual((await c.increment('n', 7, {})).value, 12);
  assert.strictEqual((await c.decrement('n', 100, {})).value, 0);
  assert.strictEqual(await c.touch('a', 100), true);
  assert.strictEqual(await c.touch('none', 100), false);
  assert.strictEqual(await c.delete('a'), true);
  assert.strictEqual(await c.delete('a'), false);
  const big = Buffer.alloc(900000, 'b');
  assert.strictEqual(await c.set('big', big, {}), true);
  assert.ok(big.equals((await c.get('big')).value));
  const all = await Promise.all([...Array(300).keys()].map(async (i) => {
    await c.set(`m${i}`, `v${i}`, {});
    return text(await c.get(`m${i}`));
  }));
  all.forEach((value, i) => assert.strictEqual(value, `v${i}`));
  let stats;
  await new Promise((done, fail) => c.stats((err, server, s) => { stats = s; err ? fail(err) : done(); }));
  assert.ok(Number(stats.curr_items) > 300);
  c.close();

  if (username) {
    const wrong = client('wrong');
    await assert.rejects(wrong.get('big'));
    wrong.close();
  }
  console.log('good');
}

main().catch((err) => { console.error(err); process.exit(1); });
