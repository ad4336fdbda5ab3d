#include "contract.h"

int main(void)
{
    static const struct contract_driver driver = {
        .provider = "disk",
        .has_no_object_below = true,
        .crowd = 1100,
    };

    return contract_run(&driver);
}
