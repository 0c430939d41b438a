int vendor(void);
int main(void) { return vendor() - 3; }
