package attachment

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"posthaste/filter"
	"posthaste/message"
)

// bombBytes is what bombs grow to: 256 MB in the long form (POSTHASTE_TORTURE=1),
// less otherwise. A larger one is seen as early and takes longer to build.
var bombBytes = bombLength()

func bombLength() int64 {
	if os.Getenv("POSTHASTE_TORTURE") != "" {
		return 1 << 28
	}
	return 1 << 26
}

// shorter returns n, or an eighth of it in the short form.
func shorter(n int) int {
	if os.Getenv("POSTHASTE_TORTURE") != "" {
		return n
	}
	return n / 8
}

// zeros is a reader of n zeros.
func zeros(n int64) io.Reader { return io.LimitReader(nothing{}, n) }

type nothing struct{}

func (nothing) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// zeroZip holds a file of n zeros.
func zeroZip(name string, n int64) string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, _ := z.Create(name)
	io.Copy(w, zeros(n))
	z.Close()
	return b.String()
}

// liar is zeroZip whose directory says that the file is short.
func liar(n int64) string {
	b := []byte(zeroZip("a.zip", n))
	at := bytes.Index(b, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(b[at+24:], 100)
	return string(b)
}

// nested packs s into an archive of width equal entries, depth times: 42.zip has 16 and 5.
func nested(s string, width, depth int) string {
	for range depth {
		var pairs []string
		for i := range width {
			pairs = append(pairs, fmt.Sprintf("lib %d.zip", i), s)
		}
		s = zipped(pairs...)
	}
	return s
}

// overlapping has n entries that share the content of one.
func overlapping(n int) string {
	one := []byte(zeroZip("a", 1<<20))
	at := bytes.Index(one, []byte("PK\x01\x02"))
	end := bytes.LastIndex(one, []byte("PK\x05\x06"))
	b := bytes.Clone(one[:at])
	for range n {
		b = append(b, one[at:end]...)
	}
	tail := bytes.Clone(one[end:])
	binary.LittleEndian.PutUint16(tail[8:], uint16(n))
	binary.LittleEndian.PutUint16(tail[10:], uint16(n))
	binary.LittleEndian.PutUint32(tail[12:], uint32(n*(end-at)))
	return string(b) + string(tail)
}

func zeroGzip(n int64) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.Copy(z, zeros(n))
	z.Close()
	return b.String()
}

// zeroTar is a packed archive with one file of n zeros.
func zeroTar(n int64) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	t.WriteHeader(&tar.Header{Name: "a", Size: n, Mode: 0o644})
	io.Copy(t, zeros(n))
	t.Close()
	z.Close()
	return b.String()
}

func manyTar(n int) string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("file %d of many", i), fmt.Sprintf("%x", i*i*7919))
	}
	return gzipped(tarred(pairs...))
}

func manyZip(n int) string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("file %d of many", i), "some text")
	}
	return zipped(pairs...)
}

func zeroZstd(n int64) string {
	var b bytes.Buffer
	z, _ := zstd.NewWriter(&b)
	io.Copy(z, zeros(n))
	z.Close()
	return b.String()
}

// parts nests multiparts.
func parts(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return b.String()
}

// a hostile message and what is to be found in it.
type hostile struct {
	name string
	mail func() *filter.Mail
	want string // a rule
}

func hostiles() []hostile {
	attached := func(name, content string) func() *filter.Mail {
		return func() *filter.Mail { return letter(file{name: name, content: content}) }
	}
	return []hostile{
		{"a zip bomb", attached("a.zip", zeroZip("a", bombBytes)), "ARCHIVE_BOMB"},
		{"42.zip: 16 archives within each of 5", attached("42.zip", nested(zeroZip("0.dll", bombBytes), 16, 5)), "ARCHIVE_BOMB"},
		{"deeper than is looked", attached("a.zip", nested("x", 1, 50)), "ARCHIVE_LIMIT"},
		{"wider than is looked", attached("a.zip", nested(zipped("a.txt", strings.Repeat("text", 1000)), 16, 4)), "ARCHIVE_LIMIT"},
		{"65,000 files upon each other", attached("a.zip", overlapping(65_000)), "ARCHIVE_BOMB"},
		{"an archive that lies about sizes", attached("a.zip", liar(bombBytes)), ""},
		{"a gzip bomb", attached("a.gz", zeroGzip(bombBytes)), "ARCHIVE_BOMB"},
		{"a gzip bomb within a gzip", attached("a.gz.gz", gzipped(zeroGzip(bombBytes))), "ARCHIVE_BOMB"},
		{"a zstd bomb", attached("a.zst", zeroZstd(bombBytes)), "ARCHIVE_BOMB"},
		{"a tar bomb in a gzip", attached("a.tgz", zeroTar(bombBytes)), "ARCHIVE_BOMB"},
		{"30,000 files in a tar", attached("a.tgz", manyTar(30_000)), "ARCHIVE_LIMIT"},
		{"60,000 files in a zip", attached("a.zip", manyZip(60_000)), "ARCHIVE_LIMIT"},
		{"a large PDF that is nothing but object streams", attached("a.pdf", "%PDF-1.7\n"+strings.Repeat("/ObjStm ", shorter(37<<20/8))), "ARCHIVE_LIMIT"},
		{"a PDF whose object streams burst", attached("a.pdf", "%PDF-1.7\n"+strings.Repeat("/ObjStm stream\r\n"+deflated(strings.Repeat("/A ", 1<<20)), 500)), "ARCHIVE_LIMIT"},
		{"an OLE2 file whose chains turn", attached("a.doc", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"+strings.Repeat("\x00", 22)+"\x09\x00"+strings.Repeat("\x00", 8<<20)), ""},
		{"10,000 nested parts", func() *filter.Mail { return parsed(parts(10_000)) }, "MIME_BOMB"},
		{"a header line of 1 MB", func() *filter.Mail {
			return parsed("Content-Type: application/zip\r\nContent-Disposition: attachment; filename=\"" + strings.Repeat("a.exe", 200_000) + "\"\r\n\r\nx")
		}, ""},
		{"20 header lines of 1 MB", func() *filter.Mail {
			return parsed(strings.Repeat("Content-Type: "+strings.Repeat("a;b=c;", 170_000)+"\r\n", 20) + "\r\nx")
		}, ""},
		{"100,000 attachments", func() *filter.Mail {
			return parsed("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\nMZ\r\n", 100_000))
		}, "MIME_BOMB"},
		{"10,000 zip bombs", func() *filter.Mail {
			one := letter(file{name: "a.zip", content: overlapping(20)})
			body := string(one.Message.Root.Children[1].Raw())
			return parsed("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n"+body+"\r\n", 9000))
		}, "ARCHIVE_BOMB"},
	}
}

// Bounds on what a hostile message may cost: far above what it does on an idle machine.
const (
	mostTime   = 10 * time.Second
	mostMemory = 512 << 20
)

// TestHostileMessagesCostLittle prints the figures: go test -v -run Hostile.
func TestHostileMessagesCostLittle(t *testing.T) {
	for _, h := range hostiles() {
		m := h.mail()
		m.Message = nil
		peak, took := cost(func() {
			m.Message = message.Parse(m.Content)
			got, r := rules(t, New(Config{}), m)
			if !strings.Contains(" "+got+" ", " "+h.want+" ") && h.want != "" {
				t.Errorf("%s: got %+v, want %s", h.name, r.Findings, h.want)
			}
		})
		t.Logf("%-52s %6.1f MB mail %7.1f ms %6.1f MB", h.name, float64(len(m.Content))/1e6, float64(took.Microseconds())/1000, float64(peak)/1e6)
		if took > mostTime || peak > mostMemory {
			t.Errorf("%s: %v and %d bytes", h.name, took, peak)
		}
	}
}

// cost runs f and returns how much the heap grew at most, as far as one sees by looking often, and the time.
func cost(f func()) (peak uint64, took time.Duration) {
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if now.HeapInuse > before.HeapInuse {
				peak = max(peak, now.HeapInuse-before.HeapInuse)
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	start := time.Now()
	f()
	took = time.Since(start)
	close(done)
	<-stopped
	return peak, took
}

// BenchmarkHostile measures the worst of the hostile messages by themselves.
func BenchmarkHostile(b *testing.B) {
	for _, h := range hostiles() {
		b.Run(strings.ReplaceAll(h.name, " ", "-"), func(b *testing.B) {
			m := h.mail()
			b.ReportAllocs()
			for b.Loop() {
				rules(b, New(Config{}), m)
			}
		})
	}
}
