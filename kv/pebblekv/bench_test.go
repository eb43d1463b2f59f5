package pebblekv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"posthaste/kv"
)

const (
	benchBody       = 4 << 10
	benchRecord     = 100
	benchPartitions = 1000
	benchRound      = 2000 // commits
	diskTime        = 300 * time.Millisecond
	diskFile        = 64 << 20
)

// BenchmarkCommit commits a body of 4 KB, which does not compress, and a small record, durably. It
// reports commits per second and their ratio to F, the 4 KB overwrites of a recycled file with
// fdatasync that one writer makes per second on the same disk: the medians of rounds in which both
// are measured in turn, because the disk is shared and swings.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 10, 50, 200} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { benchCommit(b, writers, benchPartitions) })
	}
	b.Run("hot/writers=50", func(b *testing.B) { benchCommit(b, 50, 1) })
}

// A disk measures F.
type disk struct {
	file  *os.File
	block []byte
	at    int64
}

func newDisk(b *testing.B) *disk {
	file, err := os.Create(filepath.Join(b.TempDir(), "recycled"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { file.Close() })
	if _, err := file.Write(make([]byte, diskFile)); err != nil {
		b.Fatal(err)
	}
	if err := file.Sync(); err != nil {
		b.Fatal(err)
	}
	return &disk{file: file, block: randomBytes(benchBody)}
}

func (d *disk) rate(b *testing.B) float64 {
	start, n := time.Now(), 0
	for ; time.Since(start) < diskTime; n++ {
		if _, err := d.file.WriteAt(d.block, d.at); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(d.file.Fd())); err != nil {
			b.Fatal(err)
		}
		d.at = (d.at + benchBody) % diskFile
	}
	return float64(n) / time.Since(start).Seconds()
}

func randomBytes(n int) []byte {
	out := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{})
	rng.Read(out)
	return out
}

func openBench(b *testing.B) *Store {
	b.Helper()
	s, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func benchCommit(b *testing.B, writers, partitions int) {
	s, d := openBench(b), newDisk(b)
	deliver(b, s, 200, partitions, 20_000) // past the small first memtables
	b.ResetTimer()
	var commits, ratios []float64
	var cpu time.Duration
	for done := 0; done < b.N; done += benchRound {
		b.StopTimer()
		f := d.rate(b)
		b.StartTimer()
		start, cpuStart := time.Now(), cpuTime()
		deliver(b, s, writers, partitions, benchRound)
		rate := benchRound / time.Since(start).Seconds()
		cpu += cpuTime() - cpuStart
		commits, ratios = append(commits, rate), append(ratios, rate/f)
	}
	b.ReportMetric(median(commits), "commits/s")
	b.ReportMetric(median(ratios), "F")
	b.ReportMetric(float64(cpu.Microseconds())/float64(len(ratios)*benchRound), "cpu-µs/commit")
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// reportCPU reports the time of all cores per operation when what it returns is called.
func reportCPU(b *testing.B) func() {
	start := cpuTime()
	return func() { b.ReportMetric(float64((cpuTime()-start).Nanoseconds())/1000/float64(b.N), "cpu-µs/op") }
}

func cpuTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// deliver makes n commits from so many writers at once.
func deliver(b *testing.B, s *Store, writers, partitions, n int) {
	body, record := randomBytes(benchBody), bytes.Repeat([]byte("r"), benchRecord)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				id := s.NewBodyID()
				_, err := s.Update(b.Context(), kv.Partition(fmt.Sprintf("account/%d", i%partitions)), func(tx kv.Txn) error {
					tx.Put(binary.BigEndian.AppendUint64([]byte("M "), uint64(tx.Next())), record)
					tx.PutBody(id, body)
					return nil
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkWriteAmplification writes 1 GB of mail of 4 KB into 1,000 accounts, then the same again
// while a tenth of what is old is deleted, and reports bytes written, log included, per byte of mail.
func BenchmarkWriteAmplification(b *testing.B) {
	const mails, deletedShare = 1 << 18, 10
	for b.Loop() {
		s, err := Open(Config{Dir: "store", FS: vfs.NewMem()})
		if err != nil {
			b.Fatal(err)
		}
		deliver(b, s, 50, benchPartitions, mails)
		b.ReportMetric(amplification(b, s, mails), "written/mail")
		rng := rand.New(rand.NewPCG(1, 1))
		for i := 0; i < mails; i += deletedShare {
			id := kv.BodyID(rng.IntN(mails + i))
			p := kv.Partition(fmt.Sprintf("account/%d", (id-1)%benchPartitions))
			if _, err := s.Update(b.Context(), p, func(tx kv.Txn) error { tx.DeleteBody(id); return nil }); err != nil {
				b.Fatal(err)
			}
			deliver(b, s, 1, benchPartitions, deletedShare)
		}
		b.ReportMetric(amplification(b, s, 2*mails), "with-deletes")
		b.Log("\n" + s.db.Metrics().String())
		s.Close()
	}
}

func amplification(b *testing.B, s *Store, mails int) float64 {
	if err := s.db.Flush(); err != nil {
		b.Fatal(err)
	}
	for s.db.Metrics().Compact.NumInProgress > 0 {
		runtime.Gosched()
	}
	m := s.db.Metrics()
	written := m.WAL.BytesWritten
	for _, level := range m.Levels {
		written += level.TableBytesFlushed + level.TableBytesCompacted
	}
	return float64(written) / float64(mails*(benchBody+benchRecord))
}

// BenchmarkRead reads what lies in tables, in the page cache.
func BenchmarkRead(b *testing.B) {
	const mails, accounts, step = 100_000, 20, 20
	s := openBench(b)
	deliver(b, s, 50, accounts, mails)
	ids := putDense(b, s)
	if err := s.db.Flush(); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	b.Run("body/random", func(b *testing.B) {
		defer reportCPU(b)()
		for range b.N {
			benchBodies(b, s, 1+kv.BodyID(rng.IntN(mails)), 1, step)
		}
	})
	b.Run("body/in-order", func(b *testing.B) {
		defer reportCPU(b)()
		for i := 0; i < b.N; i += mails / accounts {
			benchBodies(b, s, 1, mails/accounts, step)
		}
	})
	b.Run("body/dense", func(b *testing.B) {
		defer reportCPU(b)()
		for i := 0; i < b.N; i += len(ids) {
			benchDense(b, s, ids)
		}
	})
	b.Run("key", func(b *testing.B) {
		defer reportCPU(b)()
		key := binary.BigEndian.AppendUint64([]byte("M "), 77)
		for range b.N {
			err := s.View(b.Context(), "account/3", func(r kv.Reader) error { _, err := r.Get(key); return err })
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// benchBodies reads n bodies of one account, which lie step apart; concurrent writers have shuffled
// them, so that some belong to others.
func benchBodies(b *testing.B, s *Store, first kv.BodyID, n int, step kv.BodyID) {
	p := kv.Partition(fmt.Sprintf("account/%d", (first-1)%step))
	err := s.View(b.Context(), p, func(r kv.Reader) error {
		for i := range n {
			if _, err := r.Body(first + kv.BodyID(i)*step); err != nil && err != kv.ErrNotFound {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// putDense puts bodies of one account right after each other, as an import does.
func putDense(b *testing.B, s *Store) []kv.BodyID {
	ids := make([]kv.BodyID, 10_000)
	body := randomBytes(benchBody)
	for at := 0; at < len(ids); at += 1000 {
		mustUpdate(b, s, func(tx kv.Txn) {
			for i := range ids[at:][:1000] {
				ids[at+i] = s.NewBodyID()
				tx.PutBody(ids[at+i], body)
			}
		})
	}
	return ids
}

func benchDense(b *testing.B, s *Store, ids []kv.BodyID) {
	err := s.View(b.Context(), "p", func(r kv.Reader) error {
		for _, id := range ids {
			if _, err := r.Body(id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
