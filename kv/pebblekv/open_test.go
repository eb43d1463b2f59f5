package pebblekv

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	victimDir   = "PEBBLEKV_VICTIM_DIR" // set for the process that writes until it is killed
	victimMails = 150_000
)

// BenchmarkReopenAfterKill fills a store with 0.6 GB of mail in another process, kills that, and
// measures how long opening takes.
func BenchmarkReopenAfterKill(b *testing.B) {
	if dir := os.Getenv(victimDir); dir != "" {
		beKilled(b, dir)
	}
	var took time.Duration
	for range b.N {
		dir := b.TempDir()
		victim := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^"+b.Name()+"$", "-test.benchtime=1x")
		victim.Env = append(os.Environ(), victimDir+"="+dir)
		if err := victim.Run(); err == nil || !strings.Contains(err.Error(), "killed") {
			b.Fatalf("the victim ended with %v, want killed", err)
		}
		start := time.Now()
		s, err := Open(Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		took += time.Since(start)
		if err := errors.Join(s.Close(), os.RemoveAll(dir)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ms/open")
}

func beKilled(b *testing.B, dir string) {
	s, err := Open(Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	deliver(b, s, 200, benchPartitions, victimMails)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	self.Kill()
	select {}
}

// BenchmarkOpen opens an empty store and reports its time and the memory the process then has.
func BenchmarkOpen(b *testing.B) {
	var took time.Duration
	for range b.N {
		dir := b.TempDir()
		start := time.Now()
		s, err := Open(Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		took += time.Since(start)
		debug.FreeOSMemory()
		b.ReportMetric(residentMB(b), "MB-resident")
		if err := errors.Join(s.Close(), os.RemoveAll(dir)); err != nil { // not at the end: each takes disk
			b.Fatal(err)
		}
		runtime.GC()
	}
	b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), "ms/open")
}

func residentMB(b *testing.B) float64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("no /proc here")
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}
