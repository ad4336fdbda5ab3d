#include "contract.h"

int main(void)
{
    static const struct contract_driver driver = {
        .provider = "s3",
        .server = "swift_server.py",
        .options = "--page=40",
        .style = "--virtual",
        .has_urls = true,
        .has_object_urls = true,
        .crowd = 100,
    };

    return contract_run(&driver);
}
