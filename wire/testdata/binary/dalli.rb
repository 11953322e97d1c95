# What a user of dalli 3, whose only protocol is the binary one, does. Run with the host, the port and, where
# the server asks for them, a user and a password.
require 'dalli'

host, port, user, password = ARGV
options = { expires_in: 300 }
options.merge!(username: user, password: password) if user
c = Dalli::Client.new("#{host}:#{port}", options)

def want(name, got, wanted)
  abort "#{name}: got #{got.inspect}; want #{wanted.inspect}" unless got == wanted
end

c.flush_all
want 'miss', c.get('a'), nil
want 'set', !!c.set('a', { 'k' => [1, 2] }), true
want 'get', c.get('a'), { 'k' => [1, 2] }
want 'add', c.add('a', 1), false
c.replace('none', 1)
want 'replace of a miss', c.get('none'), nil
want 'replace', !!c.replace('a', 'r'), true
want 'raw', !!c.set('s', 'mid', 0, raw: true), true
c.append('s', '>')
c.prepend('s', '<')
want 'append and prepend', c.get('s', raw: true), '<mid>'
want 'incr of a miss', c.incr('n', 1), nil
want 'incr with a start', c.incr('n', 1, 0, 5), 5
want 'incr', c.incr('n', 7), 12
want 'decr', c.decr('n', 100), 0
want 'touch', !!c.touch('a', 100), true
want 'touch of a miss', !!c.touch('none', 100), false
want 'gat', c.gat('a', 100), 'r'
want 'cas', !!(c.cas('a') { |v| v + '!' }), true
want 'after cas', c.get('a'), 'r!'
many = (1..500).to_h { |i| ["m#{i}", 'v' * i] }
c.multi { many.each { |k, v| c.set(k, v) } } # quiet sets
want 'get_multi', c.get_multi(many.keys + %w[x y]), many
want 'delete', !!c.delete('a'), true
want 'delete of a miss', !!c.delete('a'), false
big = 'b' * 900_000
want 'large', !!c.set('big', big), true
want 'large get', c.get('big') == big, true
want 'fetch', c.fetch('f') { 'made' }, 'made'
want 'stats', c.stats.values.first['curr_items'].to_i > 500, true
want 'version', c.version.values.first.match?(/\A1\.6/), true
c.flush_all
want 'after flush_all', c.get('big'), nil
c.close

if user
  wrong = Dalli::Client.new("#{host}:#{port}", username: user, password: 'wrong', socket_failure_delay: 0, socket_max_failures: 0)
  begin
    wrong.get('a')
    abort 'a wrong password was let in'
  rescue Dalli::DalliError
  end
end
puts 'good'
