module containers

go 1.25
