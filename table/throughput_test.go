package table

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
)

// A throughputModel is what is left of a table's throughput, and of its indexes', as plain numbers.
type throughputModel struct {
	clock       clock
	desc        catalog.Description
	read, write map[string]float64 // units by index; "" is the table
}

func newThroughputModel() *throughputModel {
	m := &throughputModel{clock: clock{now: time.Unix(1_700_000_000, 0)}, read: map[string]float64{},
		write: map[string]float64{}}
	type throughput = catalog.Throughput
	m.desc = catalog.Description{ID: "id", Definition: catalog.Definition{Throughput: throughput{Read: 2, Write: 3}},
		Indexes: []catalog.IndexDescription{
			{IndexDefinition: catalog.IndexDefinition{Index: item.Index{Name: "g"}, Throughput: throughput{Read: 4, Write: 1}}},
			{IndexDefinition: catalog.IndexDefinition{Index: item.Index{Name: "h"}, Throughput: throughput{Read: 1, Write: 5}}},
			{IndexDefinition: catalog.IndexDefinition{Index: item.Index{Name: "local", Local: true}}},
		}}
	m.eachRate(func(name string, rate catalog.Throughput) {
		m.read[name], m.write[name] = 300*float64(rate.Read), 300*float64(rate.Write)
	})
	return m
}

func (m *throughputModel) eachRate(f func(name string, rate catalog.Throughput)) {
	f("", m.desc.Throughput)
	f("g", m.desc.Indexes[0].Throughput)
	f("h", m.desc.Indexes[1].Throughput)
}

func (m *throughputModel) pass(seconds int) {
	m.clock.add(time.Duration(seconds) * time.Second)
	m.eachRate(func(name string, rate catalog.Throughput) {
		m.read[name] = min(300*float64(rate.Read), m.read[name]+float64(seconds)*float64(rate.Read))
		m.write[name] = min(300*float64(rate.Write), m.write[name]+float64(seconds)*float64(rate.Write))
	})
}

// A request is let in by what is left of the table or of the index that it is for, and draws on
// what it consumed of each, whatever other settings change meanwhile; a rate that is changed begins
// full.
func TestThroughputModel(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 6))
			m := newThroughputModel()
			p := newThroughput(&m.desc, nil, m.clock.Now)
			for range 500 {
				switch rng.IntN(10) {
				case 0:
					m.pass(rng.IntN(100))
				case 1:
					if rng.IntN(2) == 0 {
						m.desc.Throughput.Read = 1 + m.desc.Throughput.Read%4
						m.read[""] = 300 * float64(m.desc.Throughput.Read)
					}
					p = newThroughput(&m.desc, &live{desc: m.desc, throughput: p}, m.clock.Now)
				default:
					p.spend(m.spend(rng))
				}
				m.check(t, p)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// spend returns what a request could have consumed, and takes it.
func (m *throughputModel) spend(rng *rand.Rand) Capacity {
	units := func() float64 { return float64(rng.IntN(60)) / 2 }
	c := Capacity{TableRead: units(), TableWrite: units()}
	m.read[""] -= c.TableRead
	m.write[""] -= c.TableWrite
	for _, x := range m.desc.Indexes {
		if rng.IntN(2) == 0 {
			continue
		}
		used := IndexCapacity{Local: x.Index.Local, Read: units(), Write: units()}
		c.addIndex(x.Index.Name, used)
		pays := x.Index.Name
		if used.Local {
			pays = ""
		}
		m.read[pays] -= used.Read
		m.write[pays] -= used.Write
	}
	return c
}

func (m *throughputModel) check(t *testing.T, p *throughput) {
	t.Helper()
	for i := -1; i < len(m.desc.Indexes); i++ {
		var x *item.Index
		name := ""
		if i >= 0 {
			if x = &m.desc.Indexes[i].Index; !x.Local {
				name = x.Name
			}
		}
		if err := p.admitRead(x); (err == nil) != (m.read[name] > 0) || err != nil && !errors.Is(err, holdfast.Overloaded) {
			t.Errorf("read of %q with %v units: got %v", name, m.read[name], err)
		}
	}
	want := m.write[""] > 0 && m.write["g"] > 0 && m.write["h"] > 0
	if err := p.admitWrite(); (err == nil) != want {
		t.Errorf("write with %v units: got %v", m.write, err)
	}
}
