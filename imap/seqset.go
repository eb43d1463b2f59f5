package imap

import (
	"slices"
	"strconv"

	"posthaste/mail"
)

// Star stands for "*", the largest number in use.
const Star = ^uint32(0)

// A Range is the numbers from First to Last, both included, First ≤ Last.
type Range struct{ First, Last uint32 }

// A Set is a sequence-set of message numbers or UIDs (RFC 9051 section 9): ranges in ascending order
// that neither overlap nor touch, or "$", the saved result of a search (RFC 5182).
type Set struct {
	Ranges []Range
	Saved  bool
	star   bool // "*" was written: resolve by Resolve
}

// Resolve returns s with "*" standing for last. A "*" in a range may turn the range round:
// "559:*" holds last even when last is below 559 (RFC 9051 section 9). Ranges with "*" lose the numbers
// above last, which name nothing; with last 0 they are empty.
func (s Set) Resolve(last uint32) Set {
	if !s.star {
		return s
	}
	out := Set{Ranges: make([]Range, 0, len(s.Ranges))}
	for _, r := range s.Ranges {
		if r.Last == Star {
			r = Range{min(r.First, last), last}
		}
		if r.Last != 0 {
			out.Ranges = append(out.Ranges, Range{max(r.First, 1), r.Last})
		}
	}
	out.normalize()
	return out
}

// Contains tells whether n is in s, which must be resolved.
func (s Set) Contains(n uint32) bool {
	_, found := slices.BinarySearchFunc(s.Ranges, n, func(r Range, n uint32) int {
		switch {
		case r.Last < n:
			return -1
		case r.First > n:
			return 1
		}
		return 0
	})
	return found
}

// Add puts n, which is not below any number of s, at the end of s.
func (s *Set) Add(n uint32) {
	if k := len(s.Ranges); k > 0 && s.Ranges[k-1].Last+1 >= n {
		s.Ranges[k-1].Last = n
		return
	}
	s.Ranges = append(s.Ranges, Range{n, n})
}

// Last returns the largest number of s, 0 when s is empty.
func (s Set) Last() uint32 {
	if len(s.Ranges) == 0 {
		return 0
	}
	return s.Ranges[len(s.Ranges)-1].Last
}

// Empty tells whether s names nothing.
func (s Set) Empty() bool { return len(s.Ranges) == 0 && !s.Saved }

// normalize sorts and joins the ranges.
func (s *Set) normalize() {
	slices.SortFunc(s.Ranges, func(a, b Range) int {
		if a.First < b.First {
			return -1
		}
		return 1
	})
	out := s.Ranges[:0]
	for _, r := range s.Ranges {
		if k := len(out); k > 0 && r.First <= out[k-1].Last {
			out[k-1].Last = max(out[k-1].Last, r.Last)
		} else if k > 0 && r.First == out[k-1].Last+1 && r.First != Star {
			out[k-1].Last = r.Last
		} else {
			out = append(out, r)
		}
	}
	s.Ranges = out
}

// AppendSet prints s as a sequence-set. An empty set has no form and prints nothing.
func AppendSet(dst []byte, s Set) []byte {
	if s.Saved {
		return append(dst, '$')
	}
	for i, r := range s.Ranges {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendSeqNumber(dst, r.First)
		if r.Last != r.First {
			dst = append(dst, ':')
			dst = appendSeqNumber(dst, r.Last)
		}
	}
	return dst
}

func appendSeqNumber(dst []byte, n uint32) []byte {
	if n == Star {
		return append(dst, '*')
	}
	return strconv.AppendUint(dst, uint64(n), 10)
}

// AppendUIDs prints uids in the order they stand in, joining runs (RFC 4315 section 3).
func AppendUIDs(dst []byte, uids []mail.UID) []byte {
	for i := 0; i < len(uids); {
		j := i
		for j+1 < len(uids) && uids[j+1] == uids[j]+1 {
			j++
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(uids[i]), 10)
		if j > i {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(uids[j]), 10)
		}
		i = j + 1
	}
	return dst
}

// set parses a sequence-set.
func (s *scanner) set() Set {
	if s.accept('$') {
		return Set{Saved: true}
	}
	var set Set
	for {
		first := s.seqNumber()
		last := first
		if s.accept(':') {
			last = s.seqNumber()
		}
		if s.err != nil {
			return Set{}
		}
		if first > last {
			first, last = last, first
		}
		set.star = set.star || last == Star
		set.Ranges = append(set.Ranges, Range{first, last})
		if !s.accept(',') {
			break
		}
	}
	set.normalize()
	return set
}

// seqNumber parses a number that is not 0, or "*".
func (s *scanner) seqNumber() uint32 {
	if s.accept('*') {
		return Star
	}
	n := s.number()
	if n == 0 {
		s.fail("a message number or UID is 1 at least")
	}
	return n
}
