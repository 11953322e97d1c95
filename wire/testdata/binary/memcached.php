<?php
// What a user of PHP's memcached does with OPT_BINARY_PROTOCOL; run with the host, the port and perhaps a user
// and a password.
[, $host, $port, $user, $password] = $argv + [3 => null, 4 => null];

function client($password) {
    global $host, $port, $user;
    $c = new Memcached();
    $c->setOption(Memcached::OPT_BINARY_PROTOCOL, true);
    if ($user !== null) {
        $c->setSaslAuthData($user, $password);
    }
    $c->addServer($host, (int)$port);
    return $c;
}

function want($name, $got, $wanted) {
    if ($got !== $wanted) {
        fprintf(STDERR, "%s: got %s; want %s\n", $name, var_export($got, true), var_export($wanted, true));
        exit(1);
    }
}

$c = client($password);
want('flush', $c->flush(), true);
want('miss', $c->get('a'), false);
want('code of a miss', $c->getResultCode(), Memcached::RES_NOTFOUND);
want('set', $c->set('a', ['k' => [1, 2]], 100), true);
want('get', $c->get('a'), ['k' => [1, 2]]);
want('add', $c->add('a', 1), false);
want('replace of a miss', $c->replace('none', 1), false);
want('replace', $c->replace('a', 'r'), true);
$c->setOption(Memcached::OPT_COMPRESSION, false);
want('set of text', $c->set('s', 'mid'), true);
want('append', $c->append('s', '>'), true);
want('prepend', $c->prepend('s', '<'), true);
want('append and prepend', $c->get('s'), '<mid>');
$got = $c->get('a', null, Memcached::GET_EXTENDED);
want('cas', $c->cas($got['cas'], 'a', 'new'), true);
want('cas again', $c->cas($got['cas'], 'a', 'newer'), false);
want('code of cas', $c->getResultCode(), Memcached::RES_DATA_EXISTS);
want('increment with a start', $c->increment('n', 1, 5, 100), 5);
want('increment', $c->increment('n', 7), 12);
want('decrement', $c->decrement('n', 100), 0);
want('touch', $c->touch('a', 100), true);
$many = [];
for ($i = 1; $i <= 500; $i++) {
    $many["m$i"] = str_repeat('v', $i);
}
want('setMulti', $c->setMulti($many), true);
$found = $c->getMulti(array_merge(array_keys($many), ['x']));
ksort($found);
ksort($many);
want('getMulti', $found, $many);
want('delete', $c->delete('a'), true);
want('delete of a miss', $c->delete('a'), false);
$big = str_repeat('b', 900000);
want('large', $c->set('big', $big), true);
want('large get', $c->get('big') === $big, true);
want('stats', array_values($c->getStats())[0]['curr_items'] > 500, true);
want('version', strpos(array_values($c->getVersion())[0], '1.6'), 0);

if ($user !== null) {
    $wrong = client('wrong');
    want('a wrong password', $wrong->get('big'), false);
    want('code of a wrong password', $wrong->getResultCode() !== Memcached::RES_NOTFOUND, true);
}
echo "good\n";
