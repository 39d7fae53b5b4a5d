//go:build unix

package bench_test

import (
	"syscall"
	"testing"
	"time"
)

// cost is what a side has used so far.
type cost struct {
	wall, cpu time.Duration
	ops       int
}

// usedCPU is the CPU time of this process and of its children that have ended.
func usedCPU() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// add measures ops operations of a side whose CPU time is told by cpu.
func (c *cost) add(ops int, cpu func() time.Duration, do func()) {
	before, start := cpu(), time.Now()
	do()
	c.wall += time.Since(start)
	c.cpu += cpu() - before
	c.ops += ops
}

func (c cost) perSecond() float64 { return float64(c.ops) / c.wall.Seconds() }
func (c cost) wallMS() float64    { return c.wall.Seconds() * 1000 / float64(c.ops) }
func (c cost) cpuMS() float64     { return c.cpu.Seconds() * 1000 / float64(c.ops) }

// quiet takes the time of one turn of all sides together out of the report: it
// says nothing.
func quiet(b *testing.B) { b.ReportMetric(0, "ns/op") }
