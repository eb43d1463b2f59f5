package sig

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"slices"
)

// Whole as a length means all of the body.
const Whole int64 = -1

// An Extent is a hash of a body that a signature needs, and what came of it.
type Extent struct {
	Canon  Canon
	Length int64 // bytes of the canonical form that are hashed (l=), or Whole

	Sum  [sha256.Size]byte // set by HashBodies
	Left int64             // bytes after Length; negative where the body is shorter than that
}

// HashBodies reads body once and sets Sum and Left of every extent. Each canonical form is hashed once,
// however many lengths of it are asked for.
func HashBodies(body []byte, extents []Extent) {
	var streams [2]*stream
	var lengths [2][]*Extent
	for i := range extents {
		c := extents[i].Canon
		lengths[c] = append(lengths[c], &extents[i])
	}
	for c, wanted := range lengths {
		if len(wanted) > 0 {
			streams[c] = newStream(wanted)
		}
	}
	empty := 0 // lines: at the end of a body they do not count
	for len(body) > 0 {
		line := body
		if end := bytes.IndexByte(body, '\n'); end >= 0 {
			line, body = bytes.TrimSuffix(body[:end], []byte("\r")), body[end+1:]
		} else {
			body = nil
		}
		if len(line) == 0 {
			empty++
			continue
		}
		if s := streams[Simple]; s != nil {
			s.breaks(empty)
			s.write(line)
			s.breaks(1)
		}
		if s := streams[Relaxed]; s != nil {
			s.relaxed(line, empty)
		}
		empty = 0
	}
	if s := streams[Simple]; s != nil {
		if s.total == 0 && s.pending() == 0 {
			s.breaks(1) // RFC 6376 section 3.4.3: an empty body is one CRLF
		}
		s.finish()
	}
	if s := streams[Relaxed]; s != nil {
		s.finish()
	}
}

// streamBuffer is what is gathered of a canonical form before it is hashed.
const streamBuffer = 4 << 10

// A stream hashes one canonical form and notes the sums on its way.
type stream struct {
	hash   hash.Hash
	all    []*Extent // the shortest first, Whole last
	wanted []*Extent // those of them still to come
	total  int64     // bytes hashed
	empty  int       // relaxed: lines that turned out to be empty
	buf    []byte
}

func newStream(wanted []*Extent) *stream {
	slices.SortStableFunc(wanted, func(a, b *Extent) int {
		switch x, y := uint64(a.Length), uint64(b.Length); { // Whole becomes the greatest
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return &stream{hash: sha256.New(), all: wanted, wanted: wanted, buf: make([]byte, 0, streamBuffer)}
}

func (s *stream) pending() int { return len(s.buf) }

var lineBreaks = bytes.Repeat([]byte("\r\n"), 64)

// breaks writes n line breaks.
func (s *stream) breaks(n int) {
	for n > 0 {
		some := min(n, len(lineBreaks)/2)
		s.write(lineBreaks[:2*some])
		n -= some
	}
}

// relaxed writes a line that is not empty, after so many empty ones. White space at its end is none,
// so that it may turn out to be empty as well.
func (s *stream) relaxed(line []byte, empty int) {
	s.empty += empty
	end := len(line)
	for end > 0 && (line[end-1] == ' ' || line[end-1] == '\t') {
		end--
	}
	if end == 0 {
		s.empty++
		return
	}
	s.breaks(s.empty)
	s.empty = 0
	line = line[:end]
	for from := 0; from < len(line); {
		gap, next := whiteRun(line, from)
		s.write(line[from:gap])
		if gap < len(line) {
			s.write(oneSpace)
		}
		from = next
	}
	s.breaks(1)
}

var oneSpace = []byte{' '}

// whiteRun finds the first white space from on that is not a single space between words: it goes from
// gap to next.
func whiteRun(line []byte, from int) (gap, next int) {
	for i := from; i < len(line); i++ {
		if c := line[i]; c != '\t' && (c != ' ' || i+1 == len(line) || line[i+1] != ' ' && line[i+1] != '\t') {
			continue
		}
		next = i + 1
		for next < len(line) && (line[next] == ' ' || line[next] == '\t') {
			next++
		}
		return i, next
	}
	return len(line), len(line)
}

func (s *stream) write(b []byte) {
	if len(s.buf)+len(b) > cap(s.buf) {
		s.flush()
		if len(b) > cap(s.buf) {
			s.consume(b)
			return
		}
	}
	s.buf = append(s.buf, b...)
}

func (s *stream) flush() {
	s.consume(s.buf)
	s.buf = s.buf[:0]
}

// consume hashes b, stopping where a length ends.
func (s *stream) consume(b []byte) {
	for len(s.wanted) > 0 {
		next := s.wanted[0]
		left := next.Length - s.total
		if next.Length == Whole || left > int64(len(b)) {
			s.hash.Write(b)
			break
		}
		s.hash.Write(b[:left])
		s.hash.Sum(next.Sum[:0])
		s.total += left
		b = b[left:]
		s.wanted = s.wanted[1:]
	}
	s.total += int64(len(b))
}

// finish sets what only the end of the body tells.
func (s *stream) finish() {
	s.flush()
	for _, e := range s.wanted {
		s.hash.Sum(e.Sum[:0])
	}
	for _, e := range s.all {
		if e.Length != Whole {
			e.Left = s.total - e.Length
		}
	}
}
