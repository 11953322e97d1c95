// Package sim runs a whole cluster in one process, from a seed: real stores and replicas, on disks
// that crash and a network that loses, doubles, delays and reorders messages, in virtual time. It
// checks that what was promised holds. It is for tests.
//
// Run makes a cluster of one, three or five nodes with one or two groups. Clients read and write
// registers, through leaders and followers, and add to a set. A nemesis lets nodes crash, stop and
// pause, disks hang or are full, links break in one direction or both, clocks jump, and leaders
// hand over. In some runs the logs of groups are short, so that nodes that were away get snapshots,
// whose streams may break at each part. The writes of a group wait for one policy
// (holdfast.Acknowledge). What there is of each is drawn from the seed. When the faults have ended,
//
//   - each register can be written, and read at each node, within a minute of virtual time;
//   - the history of each register is linearizable (porcupine). A write that was refused never
//     happened; one of unknown outcome may happen once, at any time;
//   - the set has what was acknowledged, and nothing that was refused;
//   - a write that async acknowledged is there, or was lost: then its leader lost its leadership first,
//     nobody had read it, and each node knows that its transaction is Lost;
//   - a write that semisync or sync acknowledged was on as many disks as that says;
//   - the replicas of a group are equal, byte for byte.
//
// A full disk is one that reports less free space than shards keep for flushes and removals. No write
// fails, since how long Pebble's files are isn't the same in two runs.
//
// With Options.Tables, each node has a table.Store, whose shards have the groups. The node that
// leads the catalog's group executes what any node is asked for, as package node has it. Tellers
// move money between accounts, which are in several shards, append to lists and read them, in
// transactions with and without tokens, on conditions, or one item at a time; some transactions are
// sent again with their token. Each reading of all accounts finds the same sum, and the history of
// the lists is strictly serializable (findAnomalies). No read of whatever age finds what a list
// never was.
//
// One seed gives one trace. What happens is a sequence of events: a message arrives, a clock ticks, a
// sync ends, a client acts, a fault begins. After each of them Run waits until all goroutines are
// blocked (testing/synctest), then takes the messages that they have sent, the syncs that they have
// begun and the operations that have ended, in an order that doesn't depend on theirs. So goroutines
// only run at the same time within an event. All that is random is drawn from the seed, also what
// raft and shards take from crypto/rand (testing/cryptotest). A part of a snapshot that arrives is an
// event, too.
//
// Two things are simpler than in life, since virtual time stands still while a goroutine waits for
// a mutex. In runs of tables no sync takes time. Clients leave a write alone whose latch at the node
// is taken by one that isn't decided yet; what is decided and on its way keeps none from writing the
// same register. And Pebble waits with a lock held when it begins a new log, as for an install of a
// snapshot; so either syncs of the log take time, or memtables are small enough for new logs and logs
// of groups may be short, never both in one run, and after nine seconds of a node's life no sync takes
// time. Nor do those of other files.
//
// A node that crashes isn't ended by force: it goes on with a disk, a network and clients that don't
// count any more, and is closed.
package sim
