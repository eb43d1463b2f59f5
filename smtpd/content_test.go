package smtpd

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"posthaste/mail"
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func TestContentComesBackAsWritten(t *testing.T) {
	for _, size := range []int{0, 1, 16 << 10, 16<<10 + 1, 100 << 10, maxInMemory, maxInMemory + 1, 3 << 20} {
		for _, memory := range []int64{0, 1 << 20} { // none but the smallest blocks; enough
			dir := t.TempDir()
			from := &contents{dir: dir, maxMemory: memory}
			want := randomBytes(size)
			c := from.new(10 << 20)
			for rest := want; len(rest) > 0; {
				n := min(len(rest), 1+rand.IntN(40000))
				c.write(rest[:n])
				rest = rest[n:]
			}
			if err := c.finish(); err != nil || !bytes.Equal(c.Bytes(), want) {
				t.Errorf("%d bytes with %d of memory: got %d back, %v", size, memory, len(c.Bytes()), err)
			}
			if files, _ := os.ReadDir(dir); len(files) > 0 {
				t.Errorf("%d bytes: a file has a name: %v", size, files)
			}
			if err := c.Close(); err != nil || from.used.Load() != 0 {
				t.Errorf("%d bytes: after Close %v, %d bytes of memory are out", size, err, from.used.Load())
			}
		}
	}
}

func TestMemoryOfAllContentsIsBounded(t *testing.T) {
	from := &contents{dir: t.TempDir(), maxMemory: 1 << 20}
	for range 50 {
		c := from.new(1 << 20)
		c.write(randomBytes(200 << 10))
		defer c.Close()
	}
	if used := from.used.Load(); used > 1<<20+50*16<<10 {
		t.Errorf("%d bytes are in memory, over the bound and the smallest blocks", used)
	}
}

func TestSpoolLeavesTheDiskItsReserve(t *testing.T) {
	left := uint64(spoolReserve)
	from := &contents{dir: t.TempDir(), maxMemory: 1 << 20, left: func() uint64 { return left }}
	c := from.new(10 << 20)
	defer c.Close()
	c.write(randomBytes(1 << 20))
	left--
	c.write(randomBytes(1 << 20))
	if status := mail.StatusOf(c.finish()); status.Code != 452 || status.Enhanced != "4.3.1" {
		t.Errorf("a message that would use up the reserve: %v", status)
	}
}

func TestContentOverItsLimitIsDropped(t *testing.T) {
	from := &contents{dir: t.TempDir(), maxMemory: 1 << 20}
	c := from.new(100)
	c.write(make([]byte, 60))
	c.write(make([]byte, 41))
	c.write(make([]byte, 1))
	if err := c.finish(); err != errTooBig || from.used.Load() != 0 || c.Bytes() != nil {
		t.Errorf("got %v with %d bytes kept, want %v", err, from.used.Load(), errTooBig)
	}
}

func TestFullDiskIs452(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("SKIPPED: no /dev/full: ", err)
	}
	from := &contents{dir: t.TempDir(), maxMemory: 1 << 20}
	c := from.new(10 << 20)
	c.write(make([]byte, maxInMemory))
	c.file = full
	c.write(make([]byte, 1<<20))
	if s := mail.StatusOf(c.finish()); s.Code != 452 || s.Enhanced != "4.3.1" || from.used.Load() != 0 {
		t.Errorf("got %v with %d bytes kept, want 452 4.3.1", s, from.used.Load())
	}
}

func TestUnusableSpoolDirectoryIs451(t *testing.T) {
	from := &contents{dir: t.TempDir() + "/gone", maxMemory: 1 << 20}
	c := from.new(10 << 20)
	c.write(make([]byte, 1<<20))
	if s := mail.StatusOf(c.finish()); s.Code != 451 {
		t.Errorf("got %v, want 451", s)
	}
}

func TestCleanSpoolDeletesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"incoming-1234", "incoming-5678", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := CleanSpool(dir); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 || files[0].Name() != "other" {
		t.Errorf("left are %v, want what is not ours", files)
	}
}
