package trace

import (
	"encoding/binary"
	"math"

	"posthaste/mail"
)

// appendVerdict writes 0 for no verdict, else 1 + the action and what led to it.
func appendVerdict(b []byte, v *mail.Verdict) []byte {
	if v == nil {
		return append(b, 0)
	}
	b = append(b, 1+byte(v.Action))
	b = appendFloat(b, v.Score)
	b = appendString(b, v.Reason)
	b = binary.AppendUvarint(b, uint64(len(v.Findings)))
	for i := range v.Findings {
		f := &v.Findings[i]
		b = appendFloat(appendString(b, f.Rule), f.Weight)
		b = appendString(appendString(b, f.Evidence), f.Meaning)
	}
	b = binary.AppendUvarint(b, uint64(len(v.Otherwise)))
	for _, s := range v.Otherwise {
		b = appendString(b, s)
	}
	return b
}

func appendFloat(b []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(f)))
}

func (d *decoder) verdict() *mail.Verdict {
	action := d.byte()
	if action == 0 || d.bad {
		return nil
	}
	v := &mail.Verdict{Action: mail.Action(action - 1), Score: d.float(), Reason: d.string()}
	for range d.uvarint() {
		if d.bad {
			return nil
		}
		v.Findings = append(v.Findings, mail.Finding{Rule: d.string(), Weight: d.float(), Evidence: d.string(), Meaning: d.string()})
	}
	for range d.uvarint() {
		if d.bad {
			return nil
		}
		v.Otherwise = append(v.Otherwise, d.string())
	}
	return v
}

// float reads a weight. It has no more than a few digits, so what 32 bits add is cut off again.
func (d *decoder) float() float64 {
	if len(d.b) < 4 {
		d.bad, d.b = true, nil
		return 0
	}
	f := math.Float32frombits(binary.LittleEndian.Uint32(d.b))
	d.b = d.b[4:]
	return math.Round(float64(f)*1000) / 1000
}
