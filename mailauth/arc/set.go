package arc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"posthaste/mailauth/internal/sig"
	"posthaste/message"
)

// The fields of a set.
const (
	fieldSeal      = "ARC-Seal"
	fieldSignature = "ARC-Message-Signature"
	fieldResults   = "ARC-Authentication-Results"
)

// A set is the three fields of one instance as they came. A nil raw is a field that is missing.
type set struct {
	seal, signature, results part
}

type part struct {
	raw  []byte
	tags sig.Tags // of seal and signature
	text string   // of results, after "i=N;"
}

// collect finds the sets of a header and checks that they are 1 to N, each complete (RFC 8617 section 5.2
// steps 1 to 3). None at all gives no sets and no error.
func collect(h message.Header) ([]set, error) {
	var sets []set
	for _, f := range h.Fields() {
		p, instance, err := readPart(f)
		switch {
		case err != nil:
			return nil, fmt.Errorf("a field %s is malformed: %w", f.Name(), err)
		case instance == 0:
			continue
		}
		for len(sets) < instance {
			sets = append(sets, set{})
		}
		slot := sets[instance-1].slot(f)
		if slot.raw != nil {
			return nil, fmt.Errorf("there are two fields %s of instance %d", f.Name(), instance)
		}
		*slot = p
	}
	for i := range sets {
		if s := &sets[i]; s.seal.raw == nil || s.signature.raw == nil || s.results.raw == nil {
			return nil, fmt.Errorf("the set of instance %d is incomplete", i+1)
		}
	}
	return sets, nil
}

func (s *set) slot(f message.Field) *part {
	switch {
	case f.Is(fieldSeal):
		return &s.seal
	case f.Is(fieldSignature):
		return &s.signature
	}
	return &s.results
}

// readPart reads one field. The instance is 0 where it belongs to no set.
func readPart(f message.Field) (p part, instance int, err error) {
	if !f.Is(fieldSeal) && !f.Is(fieldSignature) && !f.Is(fieldResults) {
		return part{}, 0, nil
	}
	value := f.Value()
	if len(value) > sig.MaxValue {
		return part{}, 0, fmt.Errorf("it has %d bytes (%d allowed)", len(value), sig.MaxValue)
	}
	p.raw = f.Raw()
	if f.Is(fieldResults) {
		instance, p.text, err = cutInstance(string(value))
		return p, instance, err
	}
	if p.tags, err = sig.ParseTags(string(value)); err != nil {
		return part{}, 0, err
	}
	i, _ := p.tags.Get("i")
	instance, err = parseInstance(i)
	return p, instance, err
}

// cutInstance cuts "i=1;" from the front of an ARC-Authentication-Results field.
func cutInstance(value string) (instance int, rest string, err error) {
	first, rest, ok := strings.Cut(value, ";")
	name, number, both := strings.Cut(first, "=")
	if !ok || !both || strings.Trim(name, " \t\r\n") != "i" {
		return 0, "", errors.New("it does not begin with its instance")
	}
	instance, err = parseInstance(strings.Trim(number, " \t\r\n"))
	return instance, rest, err
}

func parseInstance(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n < 1 || n > MaxSets || text[0] == '0' {
		return 0, fmt.Errorf("%s is no instance from 1 to %d", sig.Word(text), MaxSets)
	}
	return int(n), nil
}

func itoa(n int) string { return strconv.Itoa(n) }
