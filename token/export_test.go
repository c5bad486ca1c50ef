package token

// OwnerOf lets tests make default owners of other hosts.
var OwnerOf = ownerOf
