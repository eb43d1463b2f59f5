package store

import (
	"sort"

	"posthaste/mail"
)

// A UIDRange is the UIDs from First to Last, both included.
type UIDRange struct{ First, Last mail.UID }

// A UIDSet is UIDs in ascending ranges that do not overlap. UIDs without row are passed over.
type UIDSet []UIDRange

// AllUIDs is every UID.
func AllUIDs() UIDSet { return UIDSet{{1, ^mail.UID(0)}} }

// Contains tells whether uid is in set.
func (set UIDSet) Contains(uid mail.UID) bool {
	i := sort.Search(len(set), func(i int) bool { return set[i].Last >= uid })
	return i < len(set) && set[i].First <= uid
}

// add adds uid, which is higher than all in set.
func (set UIDSet) add(uid mail.UID) UIDSet {
	if n := len(set); n > 0 && set[n-1].Last+1 == uid {
		set[n-1].Last = uid
		return set
	}
	return append(set, UIDRange{uid, uid})
}

// above returns the part of set that is higher than uid.
func (set UIDSet) above(uid mail.UID) UIDSet {
	var rest UIDSet
	for _, r := range set {
		if r.Last > uid {
			rest = append(rest, UIDRange{max(r.First, uid+1), r.Last})
		}
	}
	return rest
}
