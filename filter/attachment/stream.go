package attachment

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Bounds on streams.
const (
	maxWindow     = 8 << 20 // bytes of history that zstd may need
	maxTarEntries = 20_000  // whose names are read
)

// stream looks into a file that is packed by itself.
func (l *look) stream(it item, k kind) {
	packed := &counter{r: bytes.NewReader(it.data)}
	var r io.Reader
	inner := item{path: it.at(), depth: it.depth + 1, name: unpackedName(it.name)}
	switch k {
	case gzipFile:
		z, err := gzip.NewReader(packed)
		if err != nil {
			l.add(broken, it.at(), "cannot be unpacked")
			return
		}
		if z.Name != "" {
			inner.name = base(z.Name)
		}
		r = z
	case bzip2File:
		r = bzip2.NewReader(packed)
	default:
		r = newZstd(packed)
		if c, ok := r.(*zstd.Decoder); ok {
			defer c.Close()
		}
	}
	b := &burster{r: r, packed: packed}
	head := bufio.NewReaderSize(b, headSize)
	begin, _ := head.Peek(tarMark + 6)
	if sniff(begin, "") == tarFile {
		l.tar(it, head)
	} else if err := l.entry(inner, head); err == nil {
		l.drain(head)
	}
	if b.burst {
		l.bomb(it, fmt.Sprintf("grows from %d to more than %d bytes", b.packed.n, b.n))
	}
}

// unpackedName returns what a file is called once it is unpacked.
func unpackedName(name string) string {
	lower := strings.ToLower(name)
	for _, ext := range [...]string{".gz", ".bz2", ".zst"} {
		if strings.HasSuffix(lower, ext) {
			return name[:len(name)-len(ext)]
		}
	}
	return name
}

// drain unpacks on until it is clear whether a stream is a bomb.
func (l *look) drain(r io.Reader) {
	buf := make([]byte, 32<<10)
	for total := 0; total <= bombSize; {
		n, err := r.Read(buf)
		total += n
		if err != nil || l.spend(n) != nil {
			return
		}
	}
}

// tar looks into the files of an archive.
func (l *look) tar(it item, r io.Reader) {
	spent := &spender{l: l, r: r}
	t := tar.NewReader(spent)
	for n := 0; ; n++ {
		h, err := t.Next()
		switch {
		case errors.Is(err, errSpent) || n >= maxTarEntries:
			l.add(limit, it.at(), "has more within than is looked into")
			return
		case errors.Is(err, io.EOF) || l.burst:
			return
		case err != nil:
			if !errors.Is(err, errBurst) {
				l.add(broken, it.at(), "is damaged")
			}
			return
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		inner := item{name: base(h.Name), path: it.at(), depth: it.depth + 1, among: n}
		if l.left < 0 || l.reads <= 0 {
			l.add(limit, it.at(), "has more files than are looked into")
			l.name(inner, unknown)
			continue
		}
		l.entry(inner, t)
	}
}

// newZstd returns what unpacks zstd, or a reader of nothing where that is impossible.
func newZstd(r io.Reader) io.Reader {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return strings.NewReader("")
	}
	return z
}

// A counter counts what is read.
type counter struct {
	r *bytes.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte keeps gzip from reading ahead.
func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// errBurst ends the reading of a bomb.
var errBurst = errors.New("attachment: a bomb")

// A burster ends a stream that grows as no file does that people pack.
type burster struct {
	r      io.Reader
	packed *counter
	n      int64
	burst  bool
}

func (b *burster) Read(p []byte) (int, error) {
	if b.burst {
		return 0, errBurst
	}
	n, err := b.r.Read(p)
	b.n += int64(n)
	b.burst = b.n > bombSize && b.n/bombRatio > b.packed.n
	return n, err
}

// A spender lets what a tar reader skips cost as much as what it reads.
type spender struct {
	l *look
	r io.Reader
}

func (s *spender) Read(p []byte) (int, error) {
	if s.l.left < 0 {
		return 0, errSpent
	}
	n, err := s.r.Read(p)
	s.l.spend(n)
	return n, err
}

// opaque tells of an archive that is not looked into, and whether it says that it is encrypted.
func (l *look) opaque(it item) {
	name := opaqueName(it.data)
	l.add(opaque, it.at(), "is an archive of the format "+name)
	if name == "RAR" && rarLocked(it.data) {
		l.add(lockedArchive, it.at(), "is encrypted")
	}
}

// rarLocked tells whether a RAR archive encrypts its headers: a flag of the main header of version 4, or
// the first header of version 5.
func rarLocked(b []byte) bool {
	switch {
	case bytes.HasPrefix(b, []byte("Rar!\x1a\x07\x00")):
		return len(b) >= 12 && b[9] == 0x73 && u16(b, 10)&0x80 != 0
	case bytes.HasPrefix(b, []byte("Rar!\x1a\x07\x01\x00")):
		at := 12 // after the sum of the first header come its size, of one to three bytes, and its type
		for at < len(b) && at < 14 && b[at]&0x80 != 0 {
			at++
		}
		return at+1 < len(b) && b[at+1] == 4
	}
	return false
}
