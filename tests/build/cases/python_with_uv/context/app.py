app 1
